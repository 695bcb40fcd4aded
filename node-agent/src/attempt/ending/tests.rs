//! What is reported, over everything that may be on record.

use breakbulk_sandbox::LogEnd;
use breakbulk_schemas::condition::{SUCCEEDED, truth};
use proptest::prelude::*;

use super::*;

fn exit(outcome: Outcome, outputs: Outputs) -> Exit {
    Exit {
        outcome,
        started_at: Some(5_000_000_000),
        finished_at: 7_000_000_000,
        log: LogEnd {
            length: 0,
            sha256: String::new(),
            missing: 0,
        },
        usage: breakbulk_sandbox::Usage::default(),
        leftovers: false,
        outputs,
        missing: std::collections::BTreeSet::new(),
    }
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (0..256i32).prop_map(|code| Outcome::Exited { code }),
        (1..65i32).prop_map(|signal| Outcome::Signaled { signal }),
        Just(Outcome::TimedOut),
        Just(Outcome::Cancelled { reason: None }),
        Just(Outcome::OutOfMemory {
            limit_bytes: 64 << 20,
            killed: 1
        }),
    ]
}

fn records() -> impl Strategy<Value = Record> {
    let exits = prop::option::of((outcomes(), any::<bool>()).prop_map(|(outcome, fine)| {
        let outputs = if fine {
            Outputs::default()
        } else {
            Outputs::Error("line 1".to_owned())
        };
        exit(outcome, outputs)
    }));
    let lost = prop::option::of(Just("fenced".to_owned()));
    (any::<bool>(), any::<bool>(), prop::option::of(1..9u64), exits, lost).prop_map(
        |(same_boot, shim_lives, started, exit, lost)| Record {
            same_boot,
            shim_lives,
            started,
            exit,
            lost,
        },
    )
}

fn job() -> (JobSpec, JobStatus) {
    let attempt = Attempt {
        number: 1,
        node: "n".to_owned(),
        token: "t".to_owned(),
        boot_id: "b".to_owned(),
        claim_time: MicroTime(Timestamp::from_second(4).unwrap()),
        start_time: None,
        finish_time: None,
        reason: None,
        message: None,
        exit_code: None,
        signal: None,
        usage: None,
        log: None,
    };
    let status = JobStatus {
        attempts: vec![attempt],
        ..JobStatus::default()
    };
    (JobSpec::default(), status)
}

fn at(token: &str) -> At {
    At {
        number: 1,
        token: token.to_owned(),
        generation: Some(1),
        now: Timestamp::from_second(9).unwrap(),
    }
}

proptest! {
    #[test]
    fn success_is_a_recorded_exit_with_code_zero_and_nothing_else(record in records()) {
        let clean = record.exit.as_ref().is_some_and(|e| e.outcome.is_success() && e.outputs == Outputs::default());
        match record.next() {
            Next::Watch => prop_assert!(record.same_boot && record.shim_lives && record.exit.is_none()),
            Next::Report(ending) => {
                prop_assert_eq!(ending.reason == AttemptReason::Succeeded, clean);
                prop_assert_eq!(ending.reason == AttemptReason::NodeLost, record.exit.is_none());
                // Exit codes are never invented.
                let exited = record.exit.as_ref().is_some_and(|e| matches!(e.outcome, Outcome::Exited { .. }));
                prop_assert_eq!(ending.exit_code.is_some(), exited);
            }
        }
    }

    #[test]
    fn an_end_is_written_once_and_only_by_who_claimed(record in records(), other in records()) {
        let (spec, mut status) = job();
        let (Next::Report(ending), Next::Report(later)) = (record.next(), other.next()) else { return Ok(()) };
        let before = status.clone();
        prop_assert!(!ending.apply(&spec, &mut status, &at("somebody-else")));
        prop_assert_eq!(&status, &before);
        prop_assert!(ending.apply(&spec, &mut status, &at("t")));
        let ended = status.clone();
        prop_assert!(!later.apply(&spec, &mut status, &at("t")));
        prop_assert_eq!(&status, &ended);
        let attempt = &status.attempts[0];
        prop_assert!(attempt.finish_time.as_ref().unwrap().0 >= attempt.claim_time.0);
        prop_assert_ne!(truth(&status.conditions, SUCCEEDED), Truth::Unknown);
        prop_assert!(status.completion_time.is_some());
    }
}

#[test]
fn outputs_that_cannot_be_read_fail_a_script_that_succeeded() {
    let ending = Ending::recorded(&exit(Outcome::Exited { code: 0 }, Outputs::Error("line 3".to_owned())));
    assert_eq!((ending.reason, ending.exit_code), (AttemptReason::Failed, Some(0)));
    assert!(ending.message.unwrap().contains("line 3"));
}

#[test]
fn the_log_of_an_ended_attempt_is_still_completed_once() {
    let (spec, mut status) = job();
    Ending::lost("gone").apply(&spec, &mut status, &at("t"));
    let shipped = Shipped::Sealed(End {
        length: 3,
        digest: [0xab; 32],
    });
    assert!(apply_log(&shipped, &mut status, &at("t")));
    assert!(!apply_log(&shipped, &mut status, &at("t")));
    let log = status.attempts[0].log.clone().unwrap();
    assert_eq!((log.length, log.digest), (3, "ab".repeat(32)));
    assert_eq!(truth(&status.conditions, LOGS_SEALED), Truth::True);
}
