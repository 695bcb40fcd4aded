//! Who holds a place and who waits: a pure function of what the group said before, who asks, and who is known to be
//! over. A holder keeps its place until it is known to be over, even if it is not seen for a while.

use breakbulk_schemas::concurrency_group::{ConcurrencyGroupStatus, Member};
use breakbulk_schemas::pipeline::ConcurrencyPolicy;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Who asks for a place or has one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    /// Itself.
    pub member: Member,
    /// When it was created.
    pub created: Timestamp,
    /// What it does when the group is full.
    pub policy: ConcurrencyPolicy,
    /// It is being cancelled: it keeps what it has, and gets nothing new.
    pub cancelled: bool,
}

impl Candidate {
    /// Whether it is this member.
    pub(super) fn is(&self, member: &Member) -> bool {
        self.member.kind == member.kind && self.member.uid == member.uid
    }
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// The status to be.
    pub status: ConcurrencyGroupStatus,
    /// Members to cancel, oldest first.
    pub cancel: Vec<Member>,
    /// For whose sake.
    pub newcomer: String,
}

/// Plans a group. `candidates` are in the order of their creation; `over` are holders known to have ended.
pub(super) fn plan(
    old: &ConcurrencyGroupStatus,
    limit: u32,
    candidates: &[Candidate],
    over: &[Member],
    now: Timestamp,
) -> Plan {
    let limit = limit.max(1) as usize;
    let mut holders: Vec<Member> = old
        .holders
        .iter()
        .filter(|holder| !over.contains(holder))
        .cloned()
        .collect();
    let holds = |holders: &[Member], candidate: &Candidate| holders.iter().any(|holder| candidate.is(holder));
    let waiting = |candidate: &&Candidate| !candidate.cancelled && !holds(&holders, candidate);
    // Those in line keep their order; newcomers stand behind them.
    let mut queue: Vec<Member> = old
        .queue
        .iter()
        .filter(|member| candidates.iter().filter(waiting).any(|candidate| candidate.is(member)))
        .cloned()
        .collect();
    let newcomers = candidates
        .iter()
        .filter(waiting)
        .filter(|candidate| !queue.iter().any(|member| candidate.is(member)));
    let newcomers: Vec<Member> = newcomers.map(|candidate| candidate.member.clone()).collect();
    queue.extend(newcomers);
    let room = limit.saturating_sub(holders.len()).min(queue.len());
    holders.extend(queue.drain(..room).map(|member| Member {
        since: Time(now),
        ..member
    }));
    let (cancel, newcomer) = superseded(limit, candidates);
    Plan {
        status: ConcurrencyGroupStatus { holders, queue },
        cancel,
        newcomer,
    }
}

/// Those who make room for the newest that asks for it: all before it but the last that fit beside it.
fn superseded(limit: usize, candidates: &[Candidate]) -> (Vec<Member>, String) {
    let asks = |candidate: &Candidate| candidate.policy == ConcurrencyPolicy::Cancel && !candidate.cancelled;
    let Some(newest) = candidates.iter().rposition(asks) else {
        return (Vec::new(), String::new());
    };
    let until = (newest + 1).saturating_sub(limit);
    let victims = candidates[..until].iter().filter(|candidate| !candidate.cancelled);
    (
        victims.map(|candidate| candidate.member.clone()).collect(),
        candidates[newest].member.name.clone(),
    )
}

#[cfg(test)]
mod tests {
    use breakbulk_schemas::concurrency_group::MemberKind;
    use proptest::prelude::*;

    use super::*;

    fn candidate(number: usize, policy: ConcurrencyPolicy) -> Candidate {
        let created = Timestamp::from_second(i64::try_from(number).unwrap()).unwrap();
        let name = format!("r{number}");
        let member = Member {
            kind: MemberKind::PipelineRun,
            uid: name.clone(),
            name,
            since: Time(created),
        };
        Candidate {
            member,
            created,
            policy,
            cancelled: false,
        }
    }

    fn names(members: &[Member]) -> Vec<&str> {
        members.iter().map(|member| member.name.as_str()).collect()
    }

    #[test]
    fn first_come_first_served() {
        let all: Vec<_> = (0..4).map(|n| candidate(n, ConcurrencyPolicy::Queue)).collect();
        let first = plan(&ConcurrencyGroupStatus::default(), 2, &all, &[], Timestamp::UNIX_EPOCH);
        assert_eq!(
            (names(&first.status.holders), names(&first.status.queue)),
            (vec!["r0", "r1"], vec!["r2", "r3"])
        );
        let over = [first.status.holders[0].clone()];
        let second = plan(&first.status, 2, &all[1..], &over, Timestamp::UNIX_EPOCH);
        assert_eq!(
            (names(&second.status.holders), names(&second.status.queue)),
            (vec!["r1", "r2"], vec!["r3"])
        );
    }

    #[test]
    fn a_newcomer_that_asks_for_it_cancels_the_oldest() {
        let mut all: Vec<_> = (0..3).map(|n| candidate(n, ConcurrencyPolicy::Queue)).collect();
        all.push(candidate(3, ConcurrencyPolicy::Cancel));
        let plan = plan(&ConcurrencyGroupStatus::default(), 2, &all, &[], Timestamp::UNIX_EPOCH);
        assert_eq!((names(&plan.cancel), plan.newcomer.as_str()), (vec!["r0", "r1"], "r3"));
    }

    #[test]
    fn a_holder_that_is_not_seen_keeps_its_place() {
        let all = [
            candidate(0, ConcurrencyPolicy::Queue),
            candidate(1, ConcurrencyPolicy::Queue),
        ];
        let first = plan(&ConcurrencyGroupStatus::default(), 1, &all, &[], Timestamp::UNIX_EPOCH);
        let second = plan(&first.status, 1, &all[1..], &[], Timestamp::UNIX_EPOCH);
        assert_eq!(names(&second.status.holders), ["r0"]);
    }

    proptest! {
        /// Whatever comes, goes, is seen or not: never more holders than the limit, nobody twice, nobody who is not
        /// known to be over loses a place, and whoever waits while there is room gets in.
        #[test]
        fn the_limit_holds_and_no_room_is_wasted(
            limit in 1u32..4,
            steps in prop::collection::vec((prop::collection::vec(any::<bool>(), 6), prop::collection::vec(any::<bool>(), 6)), 1..20),
        ) {
            let all: Vec<_> = (0..6).map(|n| candidate(n, ConcurrencyPolicy::Queue)).collect();
            let mut ended = [false; 6];
            let mut status = ConcurrencyGroupStatus::default();
            for (seen, ends) in steps {
                let before = status.clone();
                for (n, end) in ends.iter().enumerate() {
                    // Only who holds a place can end.
                    ended[n] |= *end && before.holders.iter().any(|holder| all[n].is(holder));
                }
                let candidates: Vec<_> = all.iter().enumerate().filter(|(n, _)| !ended[*n] && seen[*n]).map(|(_, c)| c.clone()).collect();
                let over: Vec<_> = before.holders.iter().filter(|holder| all.iter().enumerate().any(|(n, c)| ended[n] && c.is(holder))).cloned().collect();
                status = plan(&before, limit, &candidates, &over, Timestamp::UNIX_EPOCH).status;
                prop_assert!(status.holders.len() <= limit as usize);
                let mut uids: Vec<_> = status.holders.iter().chain(&status.queue).map(|member| member.uid.clone()).collect();
                uids.sort();
                let count = uids.len();
                uids.dedup();
                prop_assert_eq!(uids.len(), count);
                for holder in before.holders.iter().filter(|holder| !over.contains(holder)) {
                    prop_assert!(status.holders.contains(holder));
                }
                prop_assert!(status.queue.is_empty() || status.holders.len() == limit as usize);
            }
        }
    }
}
