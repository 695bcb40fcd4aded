//! Times a few rules on a small object, and what a whole budget takes of a processor: `cargo run --release -p breakbulk-cel --example cel_bench`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use breakbulk_cel::{Bindings, Budget, Declared, Environment, Place};
use serde_json::json;

const ROUNDS: u32 = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "replicas": {"type": "integer"}, "max": {"type": "integer"}, "name": {"type": "string", "maxLength": 63},
        "ports": {"type": "array", "maxItems": 20, "items": {"type": "object", "properties": {
            "port": {"type": "integer"}, "name": {"type": "string"}}}},
    }}}});
    let declared = Declared::from_schema(&schema, Place::Resource, "self").ok_or("the schema has no type")?;
    let environment = Environment::new()
        .variable("self", &declared)
        .variable("oldSelf", &declared);
    let ports: Vec<_> = (0..10)
        .map(|n| json!({"port": 8000 + n, "name": format!("p{n}")}))
        .collect();
    let object = json!({"metadata": {"name": "web"}, "spec": {
        "replicas": 3, "max": 5, "name": "front", "ports": ports}});
    for text in [
        "self.spec.replicas <= self.spec.max",
        "!has(self.spec.name) || self.spec.name.matches('^[a-z]+$')",
        "self.spec == oldSelf.spec",
        "self.spec.ports.all(p, p.port > 1024 && p.name.startsWith('p'))",
        "self.spec.ports.filter(p, p.port > 8004).map(p, p.name).join(',') == 'p5,p6,p7,p8,p9'",
    ] {
        let start = Instant::now();
        let program = environment.compile(text, &[])?;
        let compiled = start.elapsed();
        let start = Instant::now();
        for _ in 0..ROUNDS {
            let bindings = Bindings::new()
                .json("self", &object, &declared)
                .json("oldSelf", &object, &declared);
            black_box(program.evaluate(&bindings, &mut Budget::for_object())?);
        }
        let each = start.elapsed() / ROUNDS;
        println!("{each:>10.2?} a run, {compiled:>10.2?} to compile: {text}");
    }
    budgets(&environment, &declared)
}

/// Expressions that never come to an end within their budget: each is asked until the budget of an object is used up.
fn budgets(environment: &Environment, declared: &Arc<Declared>) -> Result<(), Box<dyn std::error::Error>> {
    let ports: Vec<_> = (0..1000).map(|n| json!({"port": n, "name": format!("p{n}")})).collect();
    let object = json!({"spec": {"name": "x".repeat(1 << 20), "ports": ports}});
    for text in [
        "self.spec.ports.all(p, self.spec.ports.all(q, p.port + q.port >= 0))",
        "self.spec.ports.all(p, self.spec.ports.exists(q, q.name == p.name))",
        "self.spec.ports.all(p, self.spec.name.contains('y') == false)",
        "self.spec.ports.all(p, self.spec.name.matches('^(x|y)*z$') == false)",
        "self.spec.ports.all(p, self.spec.name.replace('x', 'y').size() > 0)",
        "self.spec.ports.all(p, self.spec.ports == self.spec.ports)",
        "self.spec.ports.map(p, self.spec.ports.map(q, q.name + p.name)).size() > 0",
    ] {
        let program = environment.compile(text, &[])?;
        let mut budget = Budget::for_object();
        let start = Instant::now();
        while budget.left() > 0 {
            let bindings = Bindings::new().json("self", &object, declared);
            let _ = black_box(program.evaluate(&bindings, &mut budget));
        }
        println!("{:>10.2?} for a whole budget: {text}", start.elapsed());
    }
    Ok(())
}
