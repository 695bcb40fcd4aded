//! House rules that no compiler knows: every module says what it is for, no file grows without end, `unsafe` stays in
//! the one crate that may have it, tests wait for conditions and not for time.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::workspace;

/// No source file is longer.
const MAX_LINES: usize = 800;

/// Files that were longer when the rule came, with the length they may not exceed. Only ever shortened.
const LONGER: &[(&str, usize)] = &[
    // One table: every system call with the reason why a job may make it.
    ("node-agent/sandbox/src/sandbox/seccomp/policy.rs", 1500),
];

/// The only place for `unsafe`.
const UNSAFE: &str = "node-agent/sandbox/";

/// Looks at every file.
pub(crate) fn check() -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for file in workspace::files(&[".rs"])? {
        let text = std::fs::read_to_string(workspace::root().join(&file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        wrong.extend(
            look(&file, &text)
                .into_iter()
                .map(|what| format!("{}: {what}", file.display())),
        );
    }
    Ok(wrong)
}

fn look(file: &Path, text: &str) -> Vec<String> {
    let name = file.to_string_lossy();
    let mut wrong = Vec::new();
    let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
    if !first.starts_with("//! ") || first.contains("(to be written)") {
        wrong.push("must begin with `//!`: what it is for, where it stands, what it does not do".to_owned());
    }
    let lines = text.lines().count();
    let allowed = LONGER
        .iter()
        .find(|(longer, _)| *longer == name)
        .map_or(MAX_LINES, |(_, lines)| *lines);
    if lines > allowed {
        wrong.push(format!("has {lines} lines, and may have {allowed}: split it"));
    }
    let mut above: &str = "";
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let above = std::mem::replace(&mut above, line);
        let argued = above.starts_with("//") || above.starts_with("while ") || above == "loop {";
        let at = number + 1;
        if line.starts_with("//") {
            continue;
        }
        if !name.starts_with(UNSAFE) && has_unsafe(line) {
            wrong.push(format!("line {at}: `unsafe` is for {UNSAFE} alone"));
        }
        if is_test(&name)
            && !argued
            && ["thread::sleep(", "time::sleep("]
                .iter()
                .any(|sleep| line.contains(sleep))
        {
            wrong.push(format!(
                "line {at}: tests wait for a condition; one that must pass time says why, a line above"
            ));
        }
    }
    wrong
}

/// The keyword in code, not the name of the lint or the word in a text.
fn has_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    ["unsafe {", "unsafe fn ", "unsafe impl ", "unsafe extern "]
        .iter()
        .any(|form| code.contains(form))
        && !code.contains('"')
}

/// Test code as seen from its path; test modules inside sources are seen by reviewers. A harness is where the pauses
/// between two looks at a condition belong.
fn is_test(name: &str) -> bool {
    name.contains("/tests/") && !name.ends_with("/harness.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_head_is_found() {
        assert!(look(Path::new("a/src/b.rs"), "//! What it is for.\nfn f() {}\n").is_empty());
        assert_eq!(look(Path::new("a/src/b.rs"), "fn f() {}\n").len(), 1);
    }

    #[test]
    fn unsafe_is_found_outside_the_sandbox_only() {
        let text = "//! Head.\nfn f() { unsafe { g() } }\n";
        assert_eq!(look(Path::new("cli/src/b.rs"), text).len(), 1);
        assert!(look(Path::new("node-agent/sandbox/src/b.rs"), text).is_empty());
    }

    #[test]
    fn a_pause_in_a_test_needs_a_reason() {
        let file = Path::new("cli/tests/b.rs");
        assert_eq!(look(file, "//! Head.\nlet x = 1;\nstd::thread::sleep(x);\n").len(), 1);
        assert!(
            look(
                file,
                "//! Head.\n// A crash may come at any time.\nstd::thread::sleep(x);\n"
            )
            .is_empty()
        );
    }

    #[test]
    fn a_file_that_is_too_long_is_found() {
        let text = "//! Head.\n".repeat(MAX_LINES + 1);
        assert_eq!(look(Path::new("cli/src/b.rs"), &text).len(), 1);
    }
}
