//! Manifests as users get them wrong: each mistake is found, at its line.

use super::*;
use crate::args::When;
use crate::printer::Terminal;

fn read_text(text: &str) -> Reading {
    read(vec![Source::new("p.yaml", text)])
}

fn shown(reading: &Reading) -> Vec<String> {
    let mut all: Vec<_> = reading.complaints.iter().map(Complaint::at).collect();
    all.sort();
    all
}

const PIPELINE: &str = "\
# a comment
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata:
  name: hello
  labels:
    example.com/team: red
spec:
  jobs:
    build:
      needs: [fmt, 'lint']
      run: |
        make
    my job:
      env: {A: 1}
";

#[test]
fn a_field_is_found_by_the_path_the_server_names_it_by() {
    let reading = read_text(PIPELINE);
    assert!(reading.complaints.is_empty(), "{:?}", reading.complaints);
    let tree = &reading.documents[0].tree;
    let at = |path: &str| {
        let place = locate::locate(tree, path).place();
        (place.line, place.column)
    };
    assert_eq!(at("metadata.name"), (5, 9));
    assert_eq!(at("metadata.labels[example.com/team]"), (7, 23));
    assert_eq!(at("metadata.labels.example.com/team"), (7, 23));
    assert_eq!(at("spec.jobs.build.needs[1]"), (11, 20));
    assert_eq!(at("spec.jobs[my job].env.A"), (15, 16));
    // Something missing is shown at what it is missing from.
    assert_eq!(at("spec.jobs[my job].run"), (14, 5));
    assert_eq!(at("spec.concurrency.limit"), (8, 1));
    assert_eq!(locate::locate(tree, "spec.jobs.build.run").key().line, 12);
}

#[test]
fn a_file_with_five_mistakes_shows_all_five_in_their_lines() {
    let text = "\
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata: {name: a, name: b}
spec: {}
---
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata:
  labels: {}
---
kind: [1]
apiVersion: v1
metadata: {name: x}
---
spec:
  a: 1
 b: 2
---
- no object
";
    let reading = read_text(text);
    assert_eq!(
        shown(&reading),
        ["p.yaml:11:1", "p.yaml:17:2", "p.yaml:19:1", "p.yaml:3:21", "p.yaml:8:1"]
    );
}

#[test]
fn a_mistake_is_shown_with_its_line_and_a_caret() {
    let reading = read_text("apiVersion: v1\nkind: 7\nmetadata: {name: x}\n");
    let text = reading.complaints[0].render(Terminal::new(When::Never));
    assert_eq!(
        text,
        "error: p.yaml:2:7: kind: a text is expected, for example `kind: Pipeline`\n 2 | kind: 7\n   |       ^\n"
    );
}

#[test]
fn empty_documents_and_comments_are_nothing() {
    let reading = read_text("---\n# only a comment\n---\n\n---\n");
    assert!(reading.documents.is_empty());
    assert!(reading.complaints.is_empty(), "{:?}", reading.complaints);
}

#[test]
fn json_and_lists_are_read_as_well() {
    let reading = read_text(
        r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b", "namespace": "n"}}]}"#,
    );
    let names: Vec<_> = reading
        .documents
        .iter()
        .map(|d| (d.name.as_str(), d.namespace.as_deref()))
        .collect();
    assert_eq!(names, [("a", None), ("b", Some("n"))]);
}

#[test]
fn words_that_yaml_1_1_takes_for_booleans_stay_words() {
    let reading = read_text("apiVersion: v1\nkind: X\nmetadata: {name: x}\non: yes\nn: no\nt: true\n");
    let value = &reading.documents[0].value;
    assert_eq!(value["on"], "yes");
    assert_eq!(value["n"], "no");
    assert_eq!(value["t"], true);
}

#[test]
fn hostile_documents_end_with_a_complaint() {
    let mut laughs = String::from("a: &a [x, x, x, x, x, x, x, x, x, x]\n");
    for (name, of) in [
        ("b", "a"),
        ("c", "b"),
        ("d", "c"),
        ("e", "d"),
        ("f", "e"),
        ("g", "f"),
        ("h", "g"),
    ] {
        let aliases = vec![format!("*{of}"); 10].join(", ");
        laughs.push_str(&format!("{name}: &{name} [{aliases}]\n"));
    }
    for text in [
        laughs,
        "[".repeat(100_000),
        format!("a: {}1", "{b: ".repeat(5_000)),
        "a: *nothing".to_owned(),
    ] {
        assert!(!read_text(&text).complaints.is_empty());
    }
}
