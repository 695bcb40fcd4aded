//! Watches against a model: random writes, a history that is soon forgotten, watchers that are slow, that break off and
//! come back. The model is the list of all writes, in the order of their versions, as the server answered them. Every
//! watcher sees each change after its start once and in this order, or is told that its version is gone (410) and begins
//! again with a list, which is the model's state at the list's version.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use breakbulk_conformance::case::{Case, Patch, revision, text};
use breakbulk_conformance::watching::{Event, Watch};
use breakbulk_tests::fleet::{Fleet, Size};
use breakbulk_tests::store::Kind;
use http::Method;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

const WRITERS: u64 = 3;
const WATCHERS: u64 = 6;
const WRITES: usize = 250;
const NAMES: u32 = 12;
const LABELS: u32 = 3;

/// A write: the object after it, or before it where it is a deletion.
#[derive(Clone, Debug)]
struct Write {
    version: u64,
    name: String,
    label: String,
    value: String,
    deletes: bool,
}

/// What a watcher saw from a start on.
#[derive(Debug)]
struct Stretch {
    /// The list it began with: name to version.
    list: BTreeMap<String, u64>,
    start: u64,
    /// Type, name, version, value.
    events: Vec<(String, String, u64, String)>,
}

fn fields(object: &Value) -> (String, String, String) {
    let of = |pointer| text(object, pointer).to_owned();
    (of("/metadata/name"), of("/metadata/labels/l"), of("/data/v"))
}

/// Writes at random; gives what it wrote. Others write the same objects, so that much is refused.
async fn write(case: &Case, seed: u64) -> Result<Vec<Write>> {
    let mut random = StdRng::seed_from_u64(seed);
    let maps = case.core("configmaps");
    let mut done = Vec::new();
    for round in 0..WRITES {
        let name = format!("m-{}", random.random_range(0..NAMES));
        let label = random.random_range(0..LABELS).to_string();
        let value = format!("{seed}-{round}");
        let path = format!("{maps}/{name}");
        let labels = json!({ "l": label });
        let (answer, deletes) = match random.random_range(0..10) {
            0..4 => {
                let object = json!({ "metadata": { "name": name, "labels": labels }, "data": { "v": value } });
                (case.try_create(&maps, &object).await?, false)
            }
            4..8 => {
                let patch = json!({ "metadata": { "labels": labels }, "data": { "v": value } });
                (case.try_patch(&path, Patch::Merge, &patch).await?, false)
            }
            _ => {
                // The deletion's own version is not in its answer: it is that of the event, which is checked by order.
                let before = case.send(Method::GET, &path, None, Vec::new()).await?;
                if before.code == 404 {
                    continue;
                }
                let of = format!(
                    r#"{{"preconditions":{{"resourceVersion":{}}}}}"#,
                    before.body["metadata"]["resourceVersion"]
                );
                let gone = case
                    .send(Method::DELETE, &path, Some("application/json"), of.into_bytes())
                    .await?;
                if gone.code == 200 {
                    let (name, label, value) = fields(&before.body);
                    done.push(Write {
                        version: revision(&before.body)?,
                        name,
                        label,
                        value,
                        deletes: true,
                    });
                }
                continue;
            }
        };
        ensure!(answer.code < 500, "{answer:?}");
        if answer.code < 300 {
            let (name, label, value) = fields(&answer.body);
            done.push(Write {
                version: revision(&answer.body)?,
                name,
                label,
                value,
                deletes,
            });
        }
    }
    Ok(done)
}

/// How a watcher behaves.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// It reads what comes.
    Steady,
    /// It pauses between events, at times for so long that its version is forgotten.
    Slow,
    /// It breaks off and comes back at its last version.
    Restless,
}

async fn list(case: &Case, collection: &str) -> Result<Stretch> {
    let list = case.get(collection).await?;
    let items = list["items"].as_array().context("no items")?;
    let entry = |item: &Value| Ok((text(item, "/metadata/name").to_owned(), revision(item)?));
    Ok(Stretch {
        list: items.iter().map(entry).collect::<Result<_>>()?,
        start: revision(&list)?,
        events: Vec::new(),
    })
}

/// Lists, and watches until it has seen the end marker; gives the stretches, one for each time it had to list.
async fn watch(case: &Case, collection: &str, manner: Manner, seed: u64, ended: &AtomicBool) -> Result<Vec<Stretch>> {
    let first = list(case, collection).await?;
    watch_from(case, collection, first, manner, seed, ended).await
}

async fn watch_from(
    case: &Case,
    collection: &str,
    first: Stretch,
    manner: Manner,
    seed: u64,
    ended: &AtomicBool,
) -> Result<Vec<Stretch>> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut stretches = vec![first];
    let mut last = stretches[0].start;
    'open: loop {
        let mut watch = open(case, collection, last).await?;
        loop {
            match manner {
                Manner::Slow if !ended.load(Ordering::Relaxed) => {
                    // A reader that dawdles is what this one is.
                    tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
                }
                Manner::Restless if random.random_range(0..8) == 0 => continue 'open,
                _ => {}
            }
            let Some(event) = watch.try_next().await? else {
                continue 'open;
            };
            if event.kind == "ERROR" {
                ensure!(event.object["code"] == 410, "{event:?}");
                stretches.push(list(case, collection).await?);
                last = stretches.last().context("there is one")?.start;
                continue 'open;
            }
            let stretch = stretches.last_mut().context("there is one")?;
            last = take(stretch, last, &event)?;
            if event.name() == "end" {
                return Ok(stretches);
            }
        }
    }
}

async fn open(case: &Case, collection: &str, from: u64) -> Result<Watch> {
    let join = if collection.contains('?') { '&' } else { '?' };
    case.watch(&format!(
        "{collection}{join}resourceVersion={from}&allowWatchBookmarks=true&timeoutSeconds=120"
    ))
    .await
}

fn take(stretch: &mut Stretch, last: u64, event: &Event) -> Result<u64> {
    let version = revision(&event.object)?;
    if event.kind == "BOOKMARK" {
        ensure!(version >= last, "a bookmark goes back from {last} to {version}");
        return Ok(version);
    }
    ensure!(version > last, "{event:?} comes after {last}");
    let (name, _, value) = fields(&event.object);
    stretch.events.push((event.kind.clone(), name, version, value));
    Ok(version)
}

/// What the model says that a watcher sees: a selector lets it see objects with one label only.
fn expected(model: &[Write], stretch: &Stretch, label: Option<&str>) -> Vec<(String, String, u64, String)> {
    let fits = |write: &Write| label.is_none_or(|label| write.label == label);
    let mut there: BTreeMap<&str, &str> = BTreeMap::new();
    let mut events = Vec::new();
    for write in model {
        let after = !write.deletes && fits(write);
        let before = if after {
            there.insert(&write.name, &write.value)
        } else {
            there.remove(write.name.as_str())
        };
        // What goes is told as it was last seen.
        let (kind, value) = match (before, after) {
            (None, true) => ("ADDED", write.value.as_str()),
            (Some(_), true) => ("MODIFIED", write.value.as_str()),
            (Some(before), false) => ("DELETED", before),
            (None, false) => continue,
        };
        if write.version > stretch.start {
            events.push((kind.to_owned(), write.name.clone(), write.version, value.to_owned()));
        }
    }
    events
}

/// Deletions get their version from the watcher that saw all: it must fit between its neighbours of the same name.
fn model(mut writes: Vec<Write>, whole: &[Stretch]) -> Result<Vec<Write>> {
    let mut deletions: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    let mut current: BTreeMap<&str, u64> = BTreeMap::new();
    for (kind, name, version, _) in whole.iter().flat_map(|stretch| &stretch.events) {
        if kind == "DELETED" {
            let before = current
                .remove(name.as_str())
                .with_context(|| format!("{name} was deleted before it was there"))?;
            deletions.insert((name, before), *version);
        } else {
            current.insert(name, *version);
        }
    }
    for write in writes.iter_mut().filter(|write| write.deletes) {
        let at = deletions.remove(&(write.name.as_str(), write.version));
        write.version = at.with_context(|| format!("nobody saw {write:?}"))?;
    }
    ensure!(deletions.is_empty(), "seen, but not done: {deletions:?}");
    writes.sort_by_key(|write| write.version);
    ensure!(
        writes.is_sorted_by(|a, b| a.version < b.version),
        "two writes have one version"
    );
    Ok(writes)
}

fn judge(model: &[Write], stretches: &[Stretch], label: Option<&str>) -> Result<()> {
    for (number, stretch) in stretches.iter().enumerate() {
        let mut state: BTreeMap<String, u64> = BTreeMap::new();
        for write in model.iter().take_while(|write| write.version <= stretch.start) {
            state.remove(&write.name);
            if !write.deletes && label.is_none_or(|label| write.label == label) {
                state.insert(write.name.clone(), write.version);
            }
        }
        ensure!(
            stretch.list == state,
            "the list at {} is {:?}, not {state:?}",
            stretch.start,
            stretch.list
        );
        let expected = expected(model, stretch, label);
        let seen = &stretch.events;
        // A stretch that broke off saw a part from its start on; the last one saw all.
        let whole = number + 1 == stretches.len();
        let fits = if whole {
            *seen == expected
        } else {
            expected.starts_with(seen)
        };
        if !fits {
            let at = seen
                .iter()
                .zip(&expected)
                .position(|(a, b)| a != b)
                .unwrap_or(seen.len().min(expected.len()));
            bail!(
                "from {}: event {at} is {:?}, not {:?}",
                stretch.start,
                seen.get(at),
                expected.get(at)
            );
        }
    }
    Ok(())
}

async fn model_holds(kind: Kind) -> Result<()> {
    let size = Size {
        servers: 1,
        controllers: 0,
        agents: 0,
    };
    let fleet = Box::pin(Fleet::start_with(kind, size, &["--history-retention", "1"])).await?;
    let case = Case::begin_bare(fleet.cluster(), "model").await?;
    let maps = case.core("configmaps");
    let selected = format!("{maps}?labelSelector=l%3D1");
    let ended = AtomicBool::new(false);
    // The model is made of what this one sees: it begins before anything is written.
    let nothing = list(&case, &maps).await?;
    let whole = watch_from(&case, &maps, nothing, Manner::Steady, 1000, &ended);
    let manners = [Manner::Steady, Manner::Slow, Manner::Restless];
    let watchers = (0..WATCHERS).map(|number| {
        let collection = if number % 2 == 0 { &maps } else { &selected };
        watch(
            &case,
            collection,
            manners[usize::try_from(number).unwrap_or(0) % 3],
            number,
            &ended,
        )
    });
    let writing = async {
        let written = futures::future::try_join_all((0..WRITERS).map(|seed| write(&case, seed))).await?;
        ended.store(true, Ordering::Relaxed);
        let end = json!({ "metadata": { "name": "end", "labels": { "l": "1" } }, "data": { "v": "end" } });
        let end = case.create(&maps, &end).await?;
        let mut all = written.concat();
        let (name, label, value) = fields(&end);
        all.push(Write {
            version: revision(&end)?,
            name,
            label,
            value,
            deletes: false,
        });
        anyhow::Ok(all)
    };
    let watching = futures::future::join_all(watchers);
    let (whole, written, seen) = tokio::join!(whole, writing, watching);
    let whole = whole.context("the steady watcher")?;
    ensure!(whole.len() == 1, "a watcher that reads all in time is never sent away");
    let model = model(written?, &whole)?;
    judge(&model, &whole, None)?;
    for (number, stretches) in seen.into_iter().enumerate() {
        let stretches = stretches.with_context(|| format!("watcher {number}"))?;
        let label = (number % 2 == 1).then_some("1");
        judge(&model, &stretches, label).with_context(|| format!("watcher {number}"))?;
    }
    Ok(())
}

/// A version that the store has forgotten is told as 410, in the stream; the list after it is good to go on from.
async fn forgotten_versions_are_told(kind: Kind) -> Result<()> {
    let size = Size {
        servers: 1,
        controllers: 0,
        agents: 0,
    };
    let mut fleet = Box::pin(Fleet::start_with(kind, size, &["--history-retention", "1"])).await?;
    let case = Case::begin_bare(fleet.cluster(), "forgotten").await?;
    let maps = case.core("configmaps");
    let first = case.create(&maps, &json!({ "metadata": { "name": "one" } })).await?;
    for round in 0..5 {
        case.patch(
            &format!("{maps}/one"),
            Patch::Merge,
            &json!({ "data": { "v": round.to_string() } }),
        )
        .await?;
    }
    // A server that starts knows what the store knows, and no more.
    fleet.kill_server(0).await?;
    fleet.start_server(0).await?;
    fleet.cluster().answers().await?;
    let mut watch = open(&case, &maps, revision(&first)?).await?;
    let event = watch.next().await?;
    ensure!(
        event.kind == "ERROR" && event.object["code"] == 410 && event.object["reason"] == "Expired",
        "{event:?}"
    );
    ensure!(watch.try_next().await?.is_none(), "the stream ends with it");
    let list = list(&case, &maps).await?;
    let mut watch = open(&case, &maps, list.start).await?;
    case.delete(&format!("{maps}/one")).await?;
    watch.expect("DELETED", "one").await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watcher_sees_each_change_once_and_in_order_on_the_embedded_store() {
    model_holds(Kind::Embedded).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watcher_sees_each_change_once_and_in_order_on_etcd() {
    model_holds(Kind::Etcd).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_forgotten_is_told_on_the_embedded_store() {
    forgotten_versions_are_told(Kind::Embedded).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_forgotten_is_told_on_etcd() {
    forgotten_versions_are_told(Kind::Etcd).await.unwrap();
}
