//! Definitions at work: what CustomResourceDefinitions say becomes rows of the table, and what has become of them is
//! written into their status. Level-based: a round looks at all definitions and moves each a step; what wakes it is only a
//! hint. In a fleet every server does this for itself, and whoever is first writes the status.
//!
//! ```text
//! definitions in memory ─▶ names given? ─▶ rows built, storage filled ─▶ table replaced ─▶ status: Established
//!                     └─▶ being deleted? ─▶ nothing new ─▶ objects deleted ─▶ finalizer taken off ─▶ rows gone
//! ```
//!
//! The decisions are [`crate::definitions::status`]'s; here is what is done about them. Our own kinds are definitions like
//! any other, put there at the start ([`seed`]).

mod edits;
mod seed;

pub(crate) use seed::Guard;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use breakbulk_store::Error as StoreError;
use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionStatus,
};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::cacher::{Adopt, Feed};
use crate::definitions::status::{self, Deletion};
use crate::registry::conversion::Convert;
use crate::registry::objects::{DeleteOptions, Objects, WriteOptions};
use crate::registry::{Accepting, DefinitionError, Resource, Rows, Storage, Table, definition_rows};
use crate::status::ApiError;
use crate::webhook::{Client, Converter};

/// When to look again although nothing seems to have changed: objects are being deleted, or something failed.
const SOON: Duration = Duration::from_millis(200);
/// When nothing has changed for so long, definitions are not kept as they were read: they are large.
const SETTLED: Duration = Duration::from_secs(3);
/// When to look again in any case: a hint may have been lost.
const LATER: Duration = Duration::from_secs(60);

/// Why a round did not do all there was to do. The next one tries again.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("cannot write the definition {name}")]
    Write {
        name: String,
        #[source]
        source: ApiError,
    },
    #[error("cannot serve the definition {name}")]
    Rows {
        name: String,
        #[source]
        source: DefinitionError,
    },
    #[error("cannot read the objects of the definition {name}")]
    Fill {
        name: String,
        #[source]
        source: StoreError,
    },
}

/// Follows the definitions.
pub(crate) struct Establish {
    objects: Objects,
    definitions: Arc<Resource>,
    /// The rows that come from no definition.
    others: Vec<Arc<Resource>>,
    served: BTreeMap<String, Served>,
    /// Reaches the programs that convert.
    webhooks: Arc<Client>,
    /// Definitions as they were last read, by name: most rounds change one of many.
    read: BTreeMap<String, (u64, Arc<CustomResourceDefinition>)>,
}

/// A definition that has rows.
struct Served {
    rows: Rows,
    /// What they were made from; none for our own kinds at the start.
    from: Option<Origin>,
}

/// The definition that rows were made from, told again without keeping it.
struct Origin {
    definition: Weak<CustomResourceDefinition>,
    digest: Digest,
    accepting: Accepting,
}

/// Of everything in a definition that rows are made from.
type Digest = [u8; 32];

impl Served {
    /// Whether a definition, as it is now, comes to the same rows.
    fn is_of(&self, crd: &Arc<CustomResourceDefinition>, accepting: Accepting) -> bool {
        let same = |from: &Origin| from.definition.as_ptr() == Arc::as_ptr(crd) || from.digest == digest(crd);
        self.from
            .as_ref()
            .is_some_and(|from| from.accepting == accepting && same(from))
    }
}

/// All but the names that are asked for, and with those that are given.
fn digest(crd: &CustomResourceDefinition) -> Digest {
    let (spec, status) = (&crd.spec, crd.status.as_ref());
    let names = status.and_then(|status| status.accepted_names.as_ref());
    let stored = status.and_then(|status| status.stored_versions.as_ref());
    let from = (
        names,
        stored,
        &spec.group,
        &spec.scope,
        &spec.conversion,
        &spec.versions,
    );
    Sha256::digest(serde_json::to_vec(&from).unwrap_or_default()).into()
}

/// Whether there is more to do soon.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Rest,
    Soon,
}

impl Establish {
    /// Over the table as it is at the start: our own kinds and Kubernetes'. `None` if that has no definitions.
    pub(crate) fn new(objects: Objects) -> Option<Self> {
        let table = objects.registry.table();
        let definitions = table
            .find("apiextensions.k8s.io", "v1", "customresourcedefinitions")?
            .clone();
        let (own, others) = split(&table);
        Some(Self {
            objects,
            definitions,
            others,
            served: own,
            webhooks: Arc::new(Client::new()),
            read: BTreeMap::new(),
        })
    }

    /// Before anything is served: gives every definition that was served before its rows again.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn load(&mut self, feed: &mut Feed) -> Result<(), StoreError> {
        for crd in self.observe() {
            if !is_given_names(&crd) {
                continue;
            }
            match self.rebuilt(&crd) {
                Ok(Some(served)) => {
                    if !self.is_in_place(&served.rows.storage) {
                        feed.take_up(served.rows.storage.clone()).await?;
                    }
                    self.served.insert(name(&crd), served);
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, name = name(&crd), "a definition cannot be served"),
            }
        }
        self.publish();
        Ok(())
    }

    /// Follows the definitions until it is told to stop.
    pub(crate) async fn run(mut self, adopt: Adopt, stop: CancellationToken) {
        let mut changed = self.definitions.storage.cache.subscribe();
        let mut seeded = false;
        loop {
            changed.mark_unchanged();
            if !seeded {
                seeded = seed::own_kinds(&self.objects, &self.definitions).await;
            }
            let next = self.round(&adopt).await;
            let pauses: &[Duration] = if next == Next::Rest && seeded {
                &[SETTLED, LATER]
            } else {
                &[SOON]
            };
            for pause in pauses {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = changed.changed() => break,
                    () = tokio::time::sleep(*pause) => {}
                }
                if *pause == SETTLED {
                    self.read.clear();
                }
            }
        }
    }

    /// All definitions as they are in memory.
    fn observe(&mut self) -> Vec<Arc<CustomResourceDefinition>> {
        let snapshot = self.definitions.storage.cache.list("", None, 0);
        let mut read = BTreeMap::new();
        for entry in &snapshot.entries {
            let known = self
                .read
                .get(&*entry.key)
                .filter(|(revision, _)| *revision == entry.revision);
            let parsed = known.map(|(_, crd)| crd.clone()).or_else(|| {
                let parsed = serde_json::from_value(entry.parsed());
                parsed
                    .inspect_err(
                        |error| tracing::error!(%error, name = &*entry.key, "a stored definition cannot be read"),
                    )
                    .ok()
                    .map(Arc::new)
            });
            if let Some(crd) = parsed {
                read.insert(entry.key.to_string(), (entry.revision, crd));
            }
        }
        self.read = read;
        self.read.values().map(|(_, crd)| crd.clone()).collect()
    }

    async fn round(&mut self, adopt: &Adopt) -> Next {
        let mut all = self.observe();
        // First, and at once: who sees that a definition is gone finds its kind gone.
        if self.forget_gone(&all) {
            self.publish();
        }
        let mut next = Next::Rest;
        for index in 0..all.len() {
            match self.step(&mut all, index, adopt).await {
                Ok(Next::Rest) => {}
                Ok(Next::Soon) => next = Next::Soon,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a definition has to wait");
                    next = Next::Soon;
                }
            }
        }
        next
    }

    /// Moves one definition on.
    async fn step(
        &mut self,
        all: &mut [Arc<CustomResourceDefinition>],
        index: usize,
        adopt: &Adopt,
    ) -> Result<Next, RoundError> {
        let crd = all[index].clone();
        let now = Timestamp::now();
        let mut wanted = status::accept(&crd, all.iter().map(|other| &**other), now);
        let deleting = crd.metadata.deletion_timestamp.is_some();
        if deleting && has_cleanup(&crd) {
            return self.clean_up(&crd, wanted, adopt).await;
        }
        if crd.status.as_ref() != Some(&wanted) {
            let mut with_names = (*crd).clone();
            with_names.status = Some(wanted.clone());
            all[index] = Arc::new(with_names);
        }
        if is_given_names(&all[index]) {
            self.serve(&all[index].clone(), adopt).await?;
            wanted = status::establish(&crd, wanted, now);
        }
        self.write_status(&crd, &wanted).await?;
        Ok(Next::Rest)
    }

    /// Brings the rows of a definition into the table.
    async fn serve(&mut self, crd: &Arc<CustomResourceDefinition>, adopt: &Adopt) -> Result<(), RoundError> {
        let name = name(crd);
        let rebuilt = self.rebuilt(crd).map_err(|source| RoundError::Rows {
            name: name.clone(),
            source,
        })?;
        let Some(served) = rebuilt else { return Ok(()) };
        let storage = served.rows.storage.clone();
        let taken_up = self.is_in_place(&storage);
        if !taken_up {
            let filled = adopt.adopt(storage.clone()).await;
            filled.map_err(|source| RoundError::Fill {
                name: name.clone(),
                source,
            })?;
        }
        let before = self.served.get(&name).map(|before| before.rows.storage.clone());
        let replaced = before.filter(|before| !Arc::ptr_eq(before, &storage));
        if let Some(replaced) = &replaced {
            // Requests that have found it go on reading it, and must not miss what comes meanwhile.
            let kept = adopt.keep(replaced.clone()).await;
            kept.map_err(|source| RoundError::Fill {
                name: name.clone(),
                source,
            })?;
        }
        self.served.insert(name, served);
        self.publish();
        if let Some(replaced) = replaced {
            replaced.cache.retire();
        }
        Ok(())
    }

    /// The rows that a definition should have, if it has others.
    fn rebuilt(&mut self, crd: &Arc<CustomResourceDefinition>) -> Result<Option<Served>, DefinitionError> {
        let accepting = if status::is_terminating(crd) {
            Accepting::NothingNew
        } else {
            Accepting::All
        };
        let before = self.served.get_mut(&name(crd));
        let from = Some(Origin {
            definition: Arc::downgrade(crd),
            digest: digest(crd),
            accepting,
        });
        if let Some(before) = before.filter(|before| before.is_of(crd, accepting)) {
            before.from = from;
            return Ok(None);
        }
        let foreign = self.converter(crd)?;
        let before = self.served.get(&name(crd));
        let rows = definition_rows(crd, accepting, before.map(|before| &before.rows.storage), foreign)?;
        Ok(Some(Served { rows, from }))
    }

    /// What converts between the versions of a definition, where a program of its owner's does.
    fn converter(&self, crd: &CustomResourceDefinition) -> Result<Option<Arc<dyn Convert>>, DefinitionError> {
        let conversion = crd.spec.conversion.as_ref();
        let Some(conversion) = conversion.filter(|conversion| conversion.strategy == "Webhook") else {
            return Ok(None);
        };
        let conversion = serde_json::to_value(conversion).unwrap_or_default();
        let converter = Converter::new(self.webhooks.clone(), &conversion)?;
        Ok(Some(Arc::new(converter)))
    }

    fn is_in_place(&self, storage: &Arc<Storage>) -> bool {
        let table = self.objects.registry.table();
        table.storages().any(|other| Arc::ptr_eq(other, storage))
    }

    /// Takes the rows of definitions away that are gone. Our own stay whatever happens.
    fn forget_gone(&mut self, all: &[Arc<CustomResourceDefinition>]) -> bool {
        let own = seed::own_names();
        let gone: Vec<String> = self
            .served
            .keys()
            .filter(|served| !own.contains(*served) && !all.iter().any(|crd| name(crd) == **served))
            .cloned()
            .collect();
        for name in &gone {
            if let Some(served) = self.served.remove(name) {
                served.rows.storage.cache.retire();
            }
        }
        !gone.is_empty()
    }

    /// Our own kinds first, in the order of their table: so discovery shows them.
    fn publish(&self) {
        let own = seed::own_names();
        let place = |name: &String| own.iter().position(|own| own == name).unwrap_or(own.len());
        let mut defined: Vec<_> = self.served.iter().collect();
        defined.sort_by_key(|(name, _)| place(name));
        let defined = defined
            .into_iter()
            .flat_map(|(_, served)| served.rows.resources.iter().cloned());
        self.objects
            .registry
            .replace(defined.chain(self.others.iter().cloned()).collect());
    }

    /// Deletes the objects of a definition that is being deleted, and lets it go when none is left.
    async fn clean_up(
        &mut self,
        crd: &Arc<CustomResourceDefinition>,
        wanted: CustomResourceDefinitionStatus,
        adopt: &Adopt,
    ) -> Result<Next, RoundError> {
        let name = name(crd);
        let now = Timestamp::now();
        if !status::is_terminating(crd) && self.served.contains_key(&name) {
            let wanted = status::terminating(wanted, &Deletion::InProgress, now);
            self.write_status(crd, &wanted).await?;
            return Ok(Next::Soon);
        }
        if self.served.contains_key(&name) {
            self.serve(crd, adopt).await?;
        }
        let left = self.delete_objects(&name).await;
        match left {
            Ok(0) => {}
            Ok(left) => {
                let why = format!("{left} objects are left");
                tracing::debug!(name, why, "a definition waits for its objects to go");
                return Ok(Next::Soon);
            }
            Err(error) => {
                let failed = Deletion::Failed(error.to_string());
                self.write_status(crd, &status::terminating(wanted, &failed, now))
                    .await?;
                return Ok(Next::Soon);
            }
        }
        let let_go =
            edits::take_off_finalizer(&self.objects, &self.definitions, &name, status::CLEANUP_FINALIZER).await;
        let_go.map_err(|source| RoundError::Write { name, source })?;
        Ok(Next::Rest)
    }

    /// Deletes what there is; says how many objects were there.
    async fn delete_objects(&self, name: &str) -> Result<usize, ApiError> {
        let Some(resource) = self.served.get(name).map(|served| &served.rows.stored) else {
            return Ok(0);
        };
        // What other servers have let in until they heard of the deletion is to be seen.
        self.objects.cacher.catch_up().await?;
        let entries = resource.storage.cache.list("", None, 0).entries;
        let options = DeleteOptions::plain(WriteOptions::server());
        for entry in &entries {
            let namespace = Some(entry.namespace()).filter(|namespace| !namespace.is_empty());
            match self.objects.delete(resource, namespace, entry.name(), &options).await {
                Ok(_) => {}
                Err(error) if matches!(error.code(), 404 | 409) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(entries.len())
    }

    async fn write_status(
        &self,
        crd: &CustomResourceDefinition,
        wanted: &CustomResourceDefinitionStatus,
    ) -> Result<(), RoundError> {
        if crd.status.as_ref() == Some(wanted) {
            return Ok(());
        }
        let written = edits::write_status(&self.objects, &self.definitions, crd, wanted).await;
        written.map_err(|source| RoundError::Write {
            name: name(crd),
            source,
        })
    }
}

/// The rows that come from definitions, by the definitions' names, and the others.
fn split(table: &Table) -> (BTreeMap<String, Served>, Vec<Arc<Resource>>) {
    let mut own: BTreeMap<String, Served> = BTreeMap::new();
    let mut others = Vec::new();
    for resource in table.resources() {
        if resource.definition().is_none() {
            others.push(resource.clone());
            continue;
        }
        let served = own
            .entry(format!("{}.{}", resource.plural, resource.group))
            .or_insert_with(|| Served {
                rows: Rows {
                    resources: Vec::new(),
                    stored: resource.clone(),
                    storage: resource.storage.clone(),
                },
                from: None,
            });
        served.rows.resources.push(resource.clone());
    }
    (own, others)
}

fn name(crd: &CustomResourceDefinition) -> String {
    crd.metadata.name.clone().unwrap_or_default()
}

fn has_cleanup(crd: &CustomResourceDefinition) -> bool {
    let finalizers = crd.metadata.finalizers.iter().flatten();
    finalizers
        .into_iter()
        .any(|finalizer| finalizer == status::CLEANUP_FINALIZER)
}

/// Whether it has a name to be served under: it had one when it was accepted first, and keeps it.
fn is_given_names(crd: &CustomResourceDefinition) -> bool {
    let names = crd.status.as_ref().and_then(|status| status.accepted_names.as_ref());
    names.is_some_and(|names| !names.plural.is_empty() && !names.kind.is_empty())
}
