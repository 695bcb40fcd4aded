//! Shipping logs: from each attempt's spool to the API server, in order, once, sealed at the end.
//!
//! One task per log ([`ship`]) reads whole records as the shim writes them and sends them at the offset the server
//! has; all share one connection ([`link`]). Nothing is kept in memory but what is in flight: after any break the
//! server says where it is, and the spool is read again from there.

pub(crate) mod link;
mod slot;
pub(crate) mod spool;

use std::path::PathBuf;
use std::time::Duration;

use breakbulk_log_api::node_message::Body;
use breakbulk_log_api::rejected::Reason;
use breakbulk_log_api::{Append, Attempt, Open, Seal};
use rand::Rng;
use tokio::sync::watch;

use self::link::{Connection, Link, Place};
use self::slot::Rejection;
use self::spool::{Spool, SpoolError};
use crate::journal::Claim;
use crate::notice::Notice;

/// Content sent and not yet received: as much as a fast server takes in during a round trip, little enough that a
/// slow one holds up this log and not the others.
const WINDOW: u64 = 8 << 20;
/// Without a notice the spool is looked at all the same, in case the kernel dropped one.
const LOOK_ANYWAY: Duration = Duration::from_secs(5);
/// Between tries, when the server cannot store.
const RETRY: Duration = Duration::from_millis(500);
/// Seals that do not match before the log is given up.
const SEAL_TRIES: u32 = 3;

/// A log to be shipped.
pub(crate) struct Shipment {
    /// Whose log it is.
    pub(crate) claim: Claim,
    /// Its spool.
    pub(crate) spool: PathBuf,
    /// Tells that the spool has grown.
    pub(crate) notice: Notice,
    /// How it ends, once that is known.
    pub(crate) end: watch::Receiver<Option<End>>,
    /// How it ends instead, where the spool has lost a part of it since.
    pub(crate) patched: Option<End>,
}

/// How a log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) length: u64,
    pub(crate) digest: [u8; 32],
}

/// What became of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shipped {
    /// The server has all of it, durably and sealed.
    Sealed(End),
    /// The server says that the attempt is not ours, or no longer there.
    Fenced(String),
    /// The log cannot be completed.
    Broken(String),
}

/// How one opening of a log ended.
enum Pass {
    Done(Shipped),
    /// The connection is gone.
    Disconnected,
    /// The log has to be opened again, after a while.
    Again,
    /// The seal does not match what the server has.
    Mismatch(String),
}

/// Ships a log to its end. `None` when the agent shuts down first.
pub(crate) async fn ship(link: &Link, shipment: &mut Shipment) -> Option<Shipped> {
    let mut spool = Spool::new(&shipment.spool);
    let mut mismatches = 0;
    loop {
        let connection = link.connection().await?;
        let place = link.place();
        match pass(&connection, &place, shipment, &mut spool).await {
            Pass::Done(shipped) => return Some(shipped),
            Pass::Disconnected => {}
            Pass::Again => pause().await,
            Pass::Mismatch(message) => {
                mismatches += 1;
                if mismatches >= SEAL_TRIES {
                    return Some(Shipped::Broken(message));
                }
                pause().await;
            }
        }
        // The number is given back only now: a late answer finds nobody.
        drop(place);
    }
}

async fn pause() {
    let wait = RETRY.mul_f64(rand::rng().random_range(0.5..1.5));
    tokio::time::sleep(wait).await;
}

async fn pass(connection: &Connection, place: &Place, shipment: &mut Shipment, spool: &mut Spool) -> Pass {
    let open = Open {
        attempt: Some(attempt(&shipment.claim)),
    };
    if !connection.send(place.log, Body::Open(open)).await {
        return Pass::Disconnected;
    }
    let committed = loop {
        let said = place.slot.take();
        if let Some(rejection) = said.rejected {
            return refused(rejection);
        }
        if said.sealed {
            return already_sealed(shipment).await;
        }
        if let Some(committed) = said.opened {
            break committed;
        }
        tokio::select! {
            () = place.slot.heard() => {}
            () = connection.gone() => return Pass::Disconnected,
        }
    };
    let mut sender = Sender {
        connection,
        place,
        received: committed,
        sealing: false,
    };
    if let Err(error) = rewind(spool, committed).await {
        return broken(&error);
    }
    sender.run(shipment, spool).await
}

/// Moves the cursor. Walking a long spool reads much of it, so it does not happen on this thread.
async fn rewind(spool: &mut Spool, to: u64) -> Result<(), SpoolError> {
    if spool.offset() == to {
        return Ok(());
    }
    blocking(spool, move |spool| spool.seek(to)).await
}

/// Runs a read of the spool where it may block.
async fn blocking<T: Send + 'static>(
    spool: &mut Spool,
    read: impl FnOnce(&mut Spool) -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, SpoolError> {
    let mut moved = std::mem::replace(spool, Spool::new(std::path::Path::new("")));
    let task = tokio::task::spawn_blocking(move || {
        let result = read(&mut moved);
        (moved, result)
    });
    let (back, result) = task.await.expect("reading a spool does not panic");
    *spool = back;
    result
}

struct Sender<'a> {
    connection: &'a Connection,
    place: &'a Place,
    received: u64,
    sealing: bool,
}

impl Sender<'_> {
    /// Sends what there is, waits for more, and seals.
    async fn run(&mut self, shipment: &mut Shipment, spool: &mut Spool) -> Pass {
        loop {
            let said = self.place.slot.take();
            self.received = self.received.max(said.received);
            if said.sealed {
                return already_sealed(shipment).await;
            }
            if let Some(rejection) = said.rejected {
                match self.rejected(rejection, spool).await {
                    None => continue,
                    Some(pass) => return pass,
                }
            }
            // Looked at before the spool: what was written before the end was known is read after it.
            let end = shipment.end.borrow_and_update().clone();
            let mut idle = self.sealing || spool.offset().saturating_sub(self.received) >= WINDOW;
            if !idle {
                match self.append(spool).await {
                    Ok(Appended::Some) => {}
                    Ok(Appended::Nothing) => idle = true,
                    Ok(Appended::Disconnected) => return Pass::Disconnected,
                    Err(error) if end.is_none() => return broken(&error),
                    // What is damaged was measured up to the damage.
                    Err(_) => idle = true,
                }
                if let (true, Some(end)) = (idle, &end)
                    && let Some(pass) = self.finish(end, spool, shipment).await
                {
                    return pass;
                }
            }
            if idle && !self.wait(shipment).await {
                return Pass::Disconnected;
            }
        }
    }

    async fn append(&mut self, spool: &mut Spool) -> Result<Appended, SpoolError> {
        // A small batch is in memory: the shim has just written it. Anything that reads more pays for a thread.
        let batch = if self.received < spool.offset() {
            blocking(spool, Spool::next).await?
        } else {
            spool.next()?
        };
        let Some(batch) = batch else {
            return Ok(Appended::Nothing);
        };
        let append = Append { records: batch.records };
        if self.connection.send(self.place.log, Body::Append(append)).await {
            Ok(Appended::Some)
        } else {
            Ok(Appended::Disconnected)
        }
    }

    /// Everything that is there has been sent, and the end is known.
    async fn finish(&mut self, end: &End, spool: &Spool, shipment: &mut Shipment) -> Option<Pass> {
        let (there, length) = (spool.offset(), end.length);
        if there > length {
            return Some(Pass::Done(Shipped::Broken(format!(
                "the spool goes on to byte {there}, but the log ended at {length}"
            ))));
        }
        let mut end = end.clone();
        if there < length {
            let (path, from) = (shipment.spool.clone(), there);
            let measured = tokio::task::spawn_blocking(move || spool::digest(&path, from));
            end.digest = measured.await.expect("measuring a spool does not panic");
            tracing::error!(claim = ?shipment.claim, there, length, "a spool has lost its end; the log says so");
            let append = Append {
                records: spool::gap(there, length - there),
            };
            if !self.connection.send(self.place.log, Body::Append(append)).await {
                return Some(Pass::Disconnected);
            }
            shipment.patched = Some(end.clone());
        }
        let seal = Seal {
            length: end.length,
            digest: end.digest.to_vec().into(),
        };
        self.sealing = true;
        (!self.connection.send(self.place.log, Body::Seal(seal)).await).then_some(Pass::Disconnected)
    }

    /// Waits for anything to happen. `false` when the connection is gone.
    async fn wait(&self, shipment: &mut Shipment) -> bool {
        tokio::select! {
            () = self.place.slot.heard() => true,
            () = shipment.notice.wait() => true,
            changed = shipment.end.changed() => {
                if changed.is_err() {
                    // Nobody will tell the end any more: whoever waits for us has gone, and drops us.
                    std::future::pending::<()>().await;
                }
                true
            }
            () = self.connection.gone() => false,
            () = tokio::time::sleep(LOOK_ANYWAY) => true,
        }
    }

    async fn rejected(&mut self, rejection: Rejection, spool: &mut Spool) -> Option<Pass> {
        match rejection.reason {
            Reason::Offset | Reason::Corrupt => {
                tracing::debug!(message = rejection.message, "the server wants records again");
                // What is still under way is refused too; opening anew draws a line under it.
                self.received = rejection.committed;
                if let Err(error) = rewind(spool, 0).await {
                    return Some(broken(&error));
                }
                Some(Pass::Again)
            }
            _ => Some(refused(rejection)),
        }
    }
}

enum Appended {
    Some,
    Nothing,
    Disconnected,
}

fn refused(rejection: Rejection) -> Pass {
    match rejection.reason {
        Reason::Fenced => Pass::Done(Shipped::Fenced(rejection.message)),
        Reason::SealMismatch => Pass::Mismatch(rejection.message),
        // Sealed: opening it anew tells so.
        _ => Pass::Again,
    }
}

fn broken(error: &SpoolError) -> Pass {
    Pass::Done(Shipped::Broken(error.to_string()))
}

/// The server has sealed the log, which it does only with the end that we told it, now or before a restart.
async fn already_sealed(shipment: &mut Shipment) -> Pass {
    match shipment.end.wait_for(Option::is_some).await {
        Ok(end) => {
            let told = end.clone().expect("it was waited for");
            Pass::Done(Shipped::Sealed(shipment.patched.clone().unwrap_or(told)))
        }
        Err(_) => Pass::Again,
    }
}

fn attempt(claim: &Claim) -> Attempt {
    Attempt {
        namespace: claim.namespace.clone(),
        job: claim.job.clone(),
        job_uid: claim.uid.clone(),
        number: claim.number,
        token: claim.token.clone(),
    }
}
