//! What reaches a script: parameters, environment, outputs of other jobs, secrets; and what never leaves it.

use anyhow::Result;
use breakbulk_tests::on_both_stores;
use breakbulk_tests::up::Up;

on_both_stores!(
    outputs_of_a_job_reach_the_environment_of_those_that_need_it,
    a_job_finds_what_the_system_tells_it_in_its_environment,
    a_value_is_never_run_as_a_script,
    secrets_reach_only_who_asks_and_are_masked_in_the_log,
    a_secret_that_is_not_there_fails_the_job_and_says_so,
    parameters_that_do_not_fit_are_told_before_anything_runs,
);

async fn outputs_of_a_job_reach_the_environment_of_those_that_need_it(up: &Up) -> Result<()> {
    let spec = r#"
jobs:
  version:
    run: |
      echo version=1.2.3 >> "$CI_OUTPUT"
      printf 'notes<<END\nline one\nline two\nEND\n' >> "$CI_OUTPUT"
  use:
    needs: [version]
    env: { VERSION: "v${{ needs.version.outputs.version }}", NOTES: "${{ needs.version.outputs.notes }}" }
    run: echo "$VERSION:$NOTES"
"#;
    up.cluster.run("outputs", spec).await?;
    up.cluster.succeeded("outputs").await?;
    let version = up.cluster.job("outputs", "version").await?;
    let outputs = version.status.unwrap_or_default().outputs;
    assert_eq!(outputs.get("version").map(String::as_str), Some("1.2.3"));
    assert_eq!(
        up.cluster.whole_log("outputs-use").await?,
        "v1.2.3:line one\nline two\n"
    );
    Ok(())
}

async fn a_job_finds_what_the_system_tells_it_in_its_environment(up: &Up) -> Result<()> {
    let spec = r#"
env: { SHARED: everywhere, BOTH: of-the-pipeline }
jobs:
  look:
    env: { BOTH: of-the-job }
    run: echo "$CI $CI_RUN_ID $CI_JOB_NAME $CI_RUN_ATTEMPT $SHARED $BOTH"; test -d "$CI_WORKSPACE" && test -w "$HOME"
"#;
    up.cluster.run("surroundings", spec).await?;
    up.cluster.succeeded("surroundings").await?;
    assert_eq!(
        up.cluster.whole_log("surroundings-look").await?,
        "true surroundings look 1 everywhere of-the-job\n"
    );
    Ok(())
}

async fn a_value_is_never_run_as_a_script(up: &Up) -> Result<()> {
    let manifest = r#"
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata: { name: greet }
spec:
  params: { name: {} }
  jobs:
    greet:
      env: { NAME: "${{ params.name }}" }
      run: echo "hello $NAME"
"#;
    up.cluster.create(manifest).await?;
    let hostile = r#"$(touch /workspace/owned)"; echo owned; #`id`${{ 1 }}"#;
    up.cluster
        .run_pipeline("greeting", "greet", &[("name", hostile)])
        .await?;
    up.cluster.succeeded("greeting").await?;
    assert_eq!(
        up.cluster.whole_log("greeting-greet").await?,
        format!("hello {hostile}\n")
    );
    Ok(())
}

async fn secrets_reach_only_who_asks_and_are_masked_in_the_log(up: &Up) -> Result<()> {
    let secret = r"
apiVersion: v1
kind: Secret
metadata: { name: deploy }
stringData: { token: s3cret-value-of-the-test, key.pem: 'PRIVATE-KEY-MATERIAL' }
";
    up.cluster.create(secret).await?;
    let spec = r#"
jobs:
  with:
    secrets:
      - { name: deploy, key: token, env: TOKEN }
      - { name: deploy, key: key.pem, file: key.pem }
    run: |
      test "$TOKEN" = "s3cret-value""-of-the-test" && echo "same"
      printf 'token: s3cret-val'; printf 'ue-of-the-test, in pieces\n'
      cat /run/secrets/key.pem
  without:
    run: |
      test -z "${TOKEN:-}" && ! test -e /run/secrets/key.pem && echo "nothing here"
"#;
    up.cluster.run("hush", spec).await?;
    up.cluster.succeeded("hush").await?;
    let log = up.cluster.whole_log("hush-with").await?;
    assert!(log.starts_with("same\n"), "{log:?}");
    assert!(log.contains("token: ") && log.contains(", in pieces"), "{log:?}");
    assert!(
        !log.contains("s3cret-value-of-the-test") && !log.contains("PRIVATE-KEY-MATERIAL"),
        "{log:?}"
    );
    assert_eq!(up.cluster.whole_log("hush-without").await?, "nothing here\n");
    let objects = serde_json::to_string(&up.cluster.jobs("hush").await?)?;
    assert!(
        !objects.contains("s3cret-value-of-the-test"),
        "the Job does not hold the value"
    );
    Ok(())
}

async fn a_secret_that_is_not_there_fails_the_job_and_says_so(up: &Up) -> Result<()> {
    let spec = r"
jobs:
  login: { secrets: [{ name: nowhere, key: token, env: TOKEN }], run: 'echo started' }
";
    up.cluster.run("no-secret", spec).await?;
    assert_eq!(up.cluster.ended("no-secret").await?.reason, "Failed");
    let job = up.cluster.job("no-secret", "login").await?;
    let attempt = job.last_attempt().cloned();
    let message = attempt.and_then(|a| a.message).unwrap_or_default();
    assert!(message.contains("nowhere"), "the message names the secret: {message:?}");
    Ok(())
}

async fn parameters_that_do_not_fit_are_told_before_anything_runs(up: &Up) -> Result<()> {
    let manifest = r"
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata: { name: typed }
spec:
  params:
    count: { type: int, default: 3 }
    stage: { options: [dev, prod] }
  jobs: { show: { run: 'echo ran' } }
";
    up.cluster.create(manifest).await?;
    let too_much = [("stage", "dev"), ("stagee", "x")];
    let cases = [
        ("missing", Vec::new(), "stage"),
        ("unknown", too_much.to_vec(), "stagee"),
        ("no-option", vec![("stage", "test")], "prod"),
    ];
    for (run, params, named) in cases {
        up.cluster.run_pipeline(run, "typed", &params).await?;
        let ended = up.cluster.ended(run).await?;
        assert_eq!(ended.reason, "Invalid", "{run}");
        assert!(ended.message.contains(named), "{run}: {}", ended.message);
        assert!(up.cluster.jobs(run).await?.is_empty(), "{run}");
    }
    Ok(())
}
