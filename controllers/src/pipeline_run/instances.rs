//! The jobs of a run, matrices unfolded, each with the name of its entry and of its Job: always the same ones for the
//! same run and pipeline.

use std::collections::{BTreeMap, BTreeSet};

use breakbulk_schemas::field::Path;
use breakbulk_schemas::graph::Graph;
use breakbulk_schemas::pipeline::JobTemplate;
use breakbulk_schemas::pipeline_run::{JobSummary, JobSummaryState, PipelineRun};
use breakbulk_schemas::{PipelineSpec, Scalar, matrix};
use sha2::{Digest, Sha256};

/// The longest name of a Job.
const MAX_NAME: usize = 63;

/// One job of a run, or one combination of its matrix.
#[derive(Clone, Debug)]
pub struct Instance<'a> {
    /// Its entry's name: the job's, with the combination behind it.
    pub name: String,
    /// The job's name in the pipeline.
    pub job: &'a str,
    /// What is to be run.
    pub template: &'a JobTemplate,
    /// The combination.
    pub matrix: BTreeMap<String, Scalar>,
    /// It stands under `finally`.
    pub finally: bool,
    /// The name of its Job.
    pub object: String,
}

impl Instance<'_> {
    /// An entry for an instance that has no Job.
    pub fn entry(&self, state: JobSummaryState, reason: &str, message: &str) -> JobSummary {
        JobSummary {
            name: self.name.clone(),
            job: self.job.to_owned(),
            matrix: self.matrix.clone(),
            finally: self.finally,
            state,
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            ..JobSummary::default()
        }
    }
}

/// All instances, each after those of the jobs it needs, `finally` last. None for a spec that has no graph, which the
/// server does not let in.
pub fn of<'a>(run: &PipelineRun, spec: &'a PipelineSpec) -> Vec<Instance<'a>> {
    let Ok(graph) = Graph::build(spec, &Path::root("spec")) else {
        return Vec::new();
    };
    let run = run.metadata.name.as_deref().unwrap_or_default();
    let main = graph
        .order()
        .iter()
        .filter_map(|name| Some((spec.jobs.get_key_value(name)?, false)));
    let finally = graph
        .finally()
        .iter()
        .filter_map(|name| Some((spec.finally.get_key_value(name)?, true)));
    let mut all = Vec::new();
    let mut names = BTreeSet::new();
    for ((job, template), finally) in main.chain(finally) {
        let Some(combinations) = template.matrix.as_ref().map(matrix::expand) else {
            let object = object_name(run, job, None, &mut names);
            all.push(Instance {
                name: job.clone(),
                job,
                template,
                matrix: BTreeMap::new(),
                finally,
                object,
            });
            continue;
        };
        let mut labels = BTreeSet::new();
        for (index, combination) in combinations.into_iter().enumerate() {
            let mut name = format!("{job} ({})", matrix::label(&combination));
            if !labels.insert(name.clone()) {
                name = format!("{name} #{index}");
            }
            let object = object_name(run, job, Some(index), &mut names);
            all.push(Instance {
                name,
                job,
                template,
                matrix: combination,
                finally,
                object,
            });
        }
    }
    all
}

/// `<run>-<job>` or `<run>-<job>-<index>`; shortened and made unique by a hash where that is too long, or taken by
/// another job of the run (`a` with index 1, and a job called `a-1`).
fn object_name(run: &str, job: &str, index: Option<usize>, taken: &mut BTreeSet<String>) -> String {
    let plain = index.map_or_else(|| format!("{run}-{job}"), |index| format!("{run}-{job}-{index}"));
    let name = if plain.len() > MAX_NAME || taken.contains(&plain) {
        let digest = Sha256::digest(format!("{run}\0{job}\0{index:?}"));
        let hash: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
        let head: String = plain.chars().take(MAX_NAME - hash.len() - 1).collect();
        format!("{}-{hash}", head.trim_end_matches(['-', '.']))
    } else {
        plain
    };
    taken.insert(name.clone());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_never_shared_within_a_run() {
        let mut taken = BTreeSet::new();
        assert_eq!(object_name("r", "a", Some(1), &mut taken), "r-a-1");
        let second = object_name("r", "a-1", None, &mut taken);
        assert!(second.starts_with("r-a-1-"), "{second}");
        let long = object_name(&"r".repeat(60), "job", None, &mut taken);
        let other = object_name(&"r".repeat(60), "jot", None, &mut taken);
        assert!(long.len() <= MAX_NAME && other.len() <= MAX_NAME && long != other);
    }
}
