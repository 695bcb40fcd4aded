//! The graph of a pipeline's jobs. Built once from a spec; a [`Graph`] that exists has no cycle and no unknown need.

use std::collections::{BTreeMap, BTreeSet};

use crate::field::{ErrorKind, FieldError, Path};
use crate::pipeline::{JobTemplate, PipelineSpec};

/// The jobs of a pipeline in an order in which each comes after what it needs. `finally` jobs are a graph of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    order: Vec<String>,
    finally: Vec<String>,
    needs: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// Builds the graph, or says everything that is wrong with it. `root` is the spec's path.
    pub fn build(spec: &PipelineSpec, root: &Path) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let jobs = root.child("jobs");
        let finally = root.child("finally");
        for name in spec.finally.keys().filter(|name| spec.jobs.contains_key(*name)) {
            let detail = "is the name of a job under `jobs` too: every job needs a name of its own";
            errors.push(FieldError::with_value(
                finally.child(name),
                ErrorKind::Duplicate,
                name,
                detail,
            ));
        }
        let order = section(&spec.jobs, &jobs, &mut errors);
        let finally_order = section(&spec.finally, &finally, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let needs = spec
            .jobs
            .iter()
            .chain(&spec.finally)
            .map(|(name, job)| (name.clone(), job.needs.iter().cloned().collect()))
            .collect();
        Ok(Self {
            order,
            finally: finally_order,
            needs,
        })
    }

    /// The jobs, each after its needs.
    pub fn order(&self) -> &[String] {
        &self.order
    }

    /// The `finally` jobs, each after its needs among them.
    pub fn finally(&self) -> &[String] {
        &self.finally
    }

    /// What a job needs directly.
    pub fn needs(&self, job: &str) -> impl Iterator<Item = &str> {
        self.needs.get(job).into_iter().flatten().map(String::as_str)
    }

    /// Everything a job needs, directly or through others.
    pub fn ancestors(&self, job: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = self.needs(job).collect();
        while let Some(name) = open.pop() {
            if found.insert(name) {
                open.extend(self.needs(name));
            }
        }
        found
    }
}

/// Checks one section's needs and sorts it (Kahn's algorithm, names in order where the graph leaves a choice).
fn section(jobs: &BTreeMap<String, JobTemplate>, path: &Path, errors: &mut Vec<FieldError>) -> Vec<String> {
    let before = errors.len();
    for (name, job) in jobs {
        let needs = path.child(name).child("needs");
        for (index, need) in job.needs.iter().enumerate() {
            if need == name {
                errors.push(FieldError::invalid(
                    needs.index(index),
                    need,
                    "a job cannot need itself",
                ));
            } else if !jobs.contains_key(need) {
                let detail = format!("no such job; there are {}", listed(jobs.keys()));
                errors.push(FieldError::with_value(
                    needs.index(index),
                    ErrorKind::NotFound,
                    need,
                    detail,
                ));
            } else if job.needs[..index].contains(need) {
                errors.push(FieldError::with_value(
                    needs.index(index),
                    ErrorKind::Duplicate,
                    need,
                    "",
                ));
            }
        }
    }
    if errors.len() > before {
        return Vec::new();
    }
    let mut open: BTreeMap<&str, BTreeSet<&str>> = jobs
        .iter()
        .map(|(name, job)| (name.as_str(), job.needs.iter().map(String::as_str).collect()))
        .collect();
    let mut order = Vec::with_capacity(open.len());
    while let Some(name) = open.iter().find(|(_, needs)| needs.is_empty()).map(|(name, _)| *name) {
        open.remove(name);
        open.values_mut().for_each(|needs| _ = needs.remove(name));
        order.push(name.to_owned());
    }
    if let Some(cycle) = cycle(&open) {
        let first = path.child(cycle[0]).child("needs");
        errors.push(FieldError::invalid(
            first,
            &cycle.join(" → "),
            "the jobs need one another in a circle",
        ));
    }
    order
}

/// One circle among what could not be sorted, closed: its first name stands at its end again.
fn cycle<'a>(open: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    let mut trail = vec![*open.keys().next()?];
    loop {
        let next = *open.get(trail.last()?)?.first()?;
        if let Some(start) = trail.iter().position(|name| *name == next) {
            trail.push(next);
            return Some(trail.split_off(start));
        }
        trail.push(next);
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    const SHOWN: usize = 8;
    let names: Vec<_> = names.map(String::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if more > 0 {
        format!("{shown} and {more} more")
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(jobs: &[(&str, &[&str])]) -> PipelineSpec {
        let job = |needs: &[&str]| JobTemplate {
            run: "true".to_owned(),
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            ..JobTemplate::default()
        };
        let jobs = jobs
            .iter()
            .map(|(name, needs)| ((*name).to_owned(), job(needs)))
            .collect();
        PipelineSpec {
            jobs,
            ..PipelineSpec::default()
        }
    }

    fn build(jobs: &[(&str, &[&str])]) -> Result<Graph, Vec<String>> {
        Graph::build(&spec(jobs), &Path::root("spec"))
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_job_comes_after_what_it_needs() {
        let graph = build(&[("a", &["c"]), ("b", &[]), ("c", &["b"]), ("d", &["a", "b"])]).unwrap();
        assert_eq!(graph.order(), ["b", "c", "a", "d"]);
        assert_eq!(graph.ancestors("d").into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn a_circle_is_shown() {
        let errors = build(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("d", &["a"])]).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert!(errors[0].contains("a → b → c → a"), "{}", errors[0]);
    }

    #[test]
    fn every_unknown_need_is_named_with_its_place() {
        let errors = build(&[("a", &["x", "y"]), ("b", &["b"])]).unwrap_err();
        assert_eq!(errors.len(), 3);
        assert!(
            errors[0].starts_with("spec.jobs.a.needs[0]: Not found: \"x\": no such job; there are a, b"),
            "{}",
            errors[0]
        );
    }
}
