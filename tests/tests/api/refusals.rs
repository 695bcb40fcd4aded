//! What is wrong is refused at apply: every mistake at once, by the path of its field, and nothing is changed.

use anyhow::Result;
use breakbulk_schemas::Pipeline;
use breakbulk_tests::on_both_stores;
use breakbulk_tests::up::Up;
use kube::api::ListParams;

on_both_stores!(
    a_manifest_with_five_mistakes_shows_all_five,
    each_mistake_is_told_by_its_field_and_by_what_was_expected,
    bulk_shows_the_lines_of_the_mistakes,
);

const FIVE: &str = r#"
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata: { name: wrong }
spec:
  jobs:
    a: { needs: [nowhere], run: echo a }
    b: { run: 'echo ${{ params.x }}' }
    c: { if: "params.(", run: echo c }
    d: { timeout: 1ms, run: echo d }
    e: { resources: { cpu: lots }, run: echo e }
"#;

/// The message with which an object is refused.
async fn refusal(up: &Up, manifest: &str) -> Result<String> {
    let Err(error) = up.cluster.create(manifest).await else {
        anyhow::bail!("it was taken:\n{manifest}")
    };
    let Some(kube::Error::Api(status)) = error.downcast_ref::<kube::Error>() else {
        return Err(error);
    };
    assert!(matches!(status.code, 400 | 422), "{status:?}");
    let left = up.cluster.api::<Pipeline>().list(&ListParams::default()).await?.items;
    assert!(left.is_empty(), "nothing is changed");
    Ok(status.message.clone())
}

async fn a_manifest_with_five_mistakes_shows_all_five(up: &Up) -> Result<()> {
    let said = refusal(up, FIVE).await?;
    let fields = [
        "spec.jobs.a.needs",
        "spec.jobs.b.run",
        "spec.jobs.c.if",
        "spec.jobs.d.timeout",
        "spec.jobs.e.resources.cpu",
    ];
    for field in fields {
        assert!(said.contains(field), "{field} is not in:\n{said}");
    }
    Ok(())
}

async fn each_mistake_is_told_by_its_field_and_by_what_was_expected(up: &Up) -> Result<()> {
    let cases = [
        (
            "jobs: { a: { needs: [b], run: x }, b: { needs: [a], run: x } }",
            "spec.jobs",
            "circle",
        ),
        ("jobs: { a: { run: x, rum: y } }", "spec.jobs.a.rum", "unknown field"),
        (
            "jobs: { a: { run: x, env: { K: '${{ nothing.here }}' } } }",
            "spec.jobs.a.env",
            "nothing",
        ),
        (
            "jobs: { a: { run: 'echo ${{ git.branch }}' } }",
            "spec.jobs.a.run",
            "env",
        ),
        ("jobs: {}", "spec.jobs", "at least 1"),
        ("jobs: { a: {} }", "spec.jobs.a.run", "equired"),
        (
            "jobs: { a: { run: x, retry: { limit: 1000 } } }",
            "spec.jobs.a.retry.limit",
            "100",
        ),
    ];
    for (spec, field, expected) in cases {
        let head = "apiVersion: breakbulk.dev/v1\nkind: Pipeline\nmetadata: { name: wrong }\nspec:\n  ";
        let said = refusal(up, &format!("{head}{spec}\n")).await?;
        assert!(
            said.contains(field) && said.contains(expected),
            "{field}, {expected} are not in:\n{said}"
        );
    }
    Ok(())
}

async fn bulk_shows_the_lines_of_the_mistakes(up: &Up) -> Result<()> {
    // One of another sort among them: the server sees it before it looks at the others.
    let five = FIVE.replace("1ms", "soon");
    let called = up.bulk()?.call_with(&["apply", "-f", "-"], &five).await?;
    assert_eq!(called.code, Some(125), "{called:?}");
    // The first line of the text is empty: job `a` stands in line 7.
    for line in 7..=11 {
        assert!(
            called.stderr.contains(&format!(":{line}:")),
            "line {line} is not in:\n{}",
            called.stderr
        );
    }
    Ok(())
}
