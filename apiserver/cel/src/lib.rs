//! Kubernetes' dialect of CEL, the language of rules in schemas, of admission policies and of match conditions: parsed,
//! type-checked, reckoned up before it is ever run, and evaluated within a budget over JSON that is never copied.
//!
//! The way of an expression: text → tree (`syntax`) → types (`check`) → plan (`eval::plan`) and worst cost (`estimate`),
//! all when it is written; then values (`value`) and evaluation (`eval`) for each object. What cannot be evaluated does
//! not compile. The crate does no I/O, knows no kinds and keeps no state; whoever uses it brings schemas, objects and,
//! for `authorizer`, the answers.
//!
//! The functions are those of Kubernetes 1.33 (`library`); texts of errors are cel-go's, because clients look for them.
//!
//! ```
//! use breakbulk_cel::{Bindings, Budget, Declared, Environment, Place, Type};
//! use serde_json::json;
//!
//! let schema = json!({"type": "object", "properties": {
//!     "replicas": {"type": "integer"},
//!     "max": {"type": "integer"},
//! }});
//! let declared = Declared::from_schema(&schema, Place::Part, "self").expect("the schema has a type");
//! let environment = Environment::new().variable("self", &declared).variable("oldSelf", &declared);
//!
//! // When the rule is written: types are checked, and its worst cost is known.
//! let rule = environment.compile("self.replicas <= self.max", &[Type::Bool])?;
//! assert!(!rule.uses("oldSelf") && rule.cost().max < 10);
//! let mistake = environment.compile("self.replica <= self.max", &[Type::Bool]).unwrap_err();
//! assert_eq!(mistake.to_string(), "ERROR: <input>:1:5: undefined field 'replica'\n | self.replica <= self.max\n | ....^");
//!
//! // For each object: one budget for all its rules.
//! let object = json!({"replicas": 3, "max": 5});
//! let mut budget = Budget::for_object();
//! let bindings = Bindings::new().json("self", &object, &declared);
//! assert_eq!(rule.evaluate(&bindings, &mut budget)?.as_bool(), Some(true));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bindings;
mod budget;
mod check;
mod declared;
mod environment;
mod errors;
mod escape;
mod estimate;
mod eval;
mod library;
mod program;
mod source;
mod syntax;
mod types;
mod value;

pub use bindings::Bindings;
pub use budget::{Budget, MATCH_CONDITIONS_LIMIT, PER_CALL_LIMIT, PER_OBJECT_LIMIT};
pub use declared::{Declared, Place};
pub use environment::{Composition, Environment};
pub use errors::{CompileError, EvalError};
pub use escape::escape;
pub use estimate::{CostEstimate, excess};
pub use library::authorizer::{Answer, Authorizer, Question, ResourceRequest, Subject, Target};
pub use library::regexes::compile as compile_pattern;
pub use program::Program;
pub use types::{ObjectType, Opaque, Param, Type};
pub use value::{Key, List, Map, Moment, Object, OpaqueValue, Text, Value};
