//! Every sample in `manifests/samples` is applied by `bulk` and run to its end.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use breakbulk_tests::git::Repository;
use breakbulk_tests::manifest;
use breakbulk_tests::on_both_stores;
use breakbulk_tests::up::Up;

on_both_stores!(every_sample_is_applied_and_its_pipelines_run_to_their_end);

fn samples() -> Result<Vec<PathBuf>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/samples");
    let entries = std::fs::read_dir(&directory).context("there are no samples")?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

async fn every_sample_is_applied_and_its_pipelines_run_to_their_end(up: &Up) -> Result<()> {
    let repository = Repository::new(up.scratch())?;
    let bulk = up.bulk()?;
    for file in samples()? {
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let text = text.replace("https://git.example.org/team/project.git", &repository.url());
        let applied = bulk.call_with(&["apply", "-f", "-"], &text).await?;
        assert_eq!(applied.code, Some(0), "{}: {applied:?}", file.display());
        for document in manifest::documents(&text)? {
            let name = document["metadata"]["name"].as_str().unwrap_or_default();
            if document["kind"] != "Pipeline" {
                continue;
            }
            let ran = bulk.call(&["run", name, "--follow"]).await?;
            assert_eq!(ran.code, Some(0), "{name} of {}: {ran:?}", file.display());
        }
    }
    Ok(())
}
