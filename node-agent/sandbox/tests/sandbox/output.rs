//! The log: every byte, once, in order, whatever a script writes; no secret; bounded.

use std::fmt::Write;

use breakbulk_log_record::Kind;
use breakbulk_sandbox::{EnvVar, Exit, Outcome, Secret, SecretFile};
use sha2::{Digest, Sha256};

use crate::harness::Attempt;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, b| {
        write!(text, "{b:02x}").unwrap();
        text
    })
}

/// The log is contiguous, and is what the end says it is.
fn check(attempt: &Attempt, exit: &Exit) {
    let mut end = 0;
    for record in attempt.records() {
        assert_eq!(record.offset, end);
        end = record.end();
    }
    assert_eq!(end, exit.log.length);
    assert_eq!(hex(&Sha256::digest(attempt.raw_output())), exit.log.sha256);
}

#[test]
fn a_gigabyte_arrives_whole() {
    let mut attempt = Attempt::new("yes 0123456789abcde | head -c 1073741824").start();
    let exit = attempt.wait();
    // `yes` ends by a signal once `head` has enough, which `pipefail` tells.
    assert_eq!(exit.log.length, 1 << 30);
    let mut hash = Sha256::new();
    let line = b"0123456789abcde\n".repeat(1 << 16);
    (0..1024).for_each(|_| hash.update(&line));
    assert_eq!(exit.log.sha256, hex(&hash.finalize()));
}

#[test]
fn bytes_that_are_no_text_and_lines_without_end_are_kept_as_they_are() {
    let mut attempt =
        Attempt::new("printf '\\xff\\xfe\\x00\\r\\033]0;x\\a'; head -c 5000000 /dev/zero | tr '\\0' a; printf end")
            .start();
    let exit = attempt.wait();
    let output = attempt.raw_output();
    assert!(output.starts_with(b"\xff\xfe\x00\r\x1b]0;x\x07aaa") && output.ends_with(b"aend"));
    assert_eq!(output.len(), 5_000_013);
    check(&attempt, &exit);
}

#[test]
fn output_is_there_as_soon_as_it_is_written() {
    let mut attempt = Attempt::new("printf 'Password: '; read -t 60 < <(sleep 60)").start();
    attempt.wait_for_output("Password: ");
    assert!(attempt.dir.exit().unwrap().is_none());
    breakbulk_sandbox::signal_shim(&attempt.dir, breakbulk_sandbox::Signal::Cancel).unwrap();
    attempt.wait();
}

#[test]
fn secrets_are_masked_wherever_they_come_from() {
    let secret = "correct horse battery";
    let script = "echo $A; cat /run/secrets/key; for w in correct ' horse' ' batt' ery; do printf \"$w\"; sleep 0.05; done; echo; env | grep ^A=; stat -c %a /run/secrets/key";
    let mut attempt = Attempt::new(script)
        .with(|spec| {
            spec.env.push(EnvVar::new("A", secret));
            spec.masks.push(Secret::new(secret));
            spec.secret_files.push(SecretFile {
                name: "key".into(),
                content: Secret::new(format!("{secret}\n")),
            });
        })
        .start();
    let exit = attempt.wait();
    assert_eq!(exit.outcome, Outcome::Exited { code: 0 });
    assert_eq!(attempt.output(), "***\n***\n***\nA=***\n400\n");
    check(&attempt, &exit);
    for file in std::fs::read_dir(attempt.dir.path()).unwrap() {
        let content = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!content.windows(secret.len()).any(|w| w == secret.as_bytes()));
    }
}

#[test]
fn beyond_the_quota_the_log_counts_what_is_missing() {
    let mut attempt = Attempt::new("head -c 3000000 /dev/zero; echo end")
        .with(|spec| spec.log_quota_bytes = 1 << 20)
        .start();
    let exit = attempt.wait();
    assert_eq!(exit.outcome, Outcome::Exited { code: 0 });
    check(&attempt, &exit);
    assert_eq!(exit.log.length, 3_000_004);
    assert!(std::fs::metadata(attempt.dir.spool_path()).unwrap().len() <= 1 << 20);
    let records = attempt.records();
    let last = records.last().unwrap();
    assert_eq!((last.kind, last.missing().unwrap().0), (Kind::Gap, exit.log.missing));
    assert!(exit.log.missing > 1_900_000);
}

#[test]
fn a_script_cannot_touch_what_it_has_written() {
    let mut attempt =
        Attempt::new("set +e; echo one; : > /dev/stdout; echo two > /dev/stderr; echo three | tee /dev/stdout; truncate -s 0 /proc/self/fd/1 2>/dev/null; echo four").start();
    let exit = attempt.wait();
    assert_eq!(attempt.output(), "one\ntwo\nthree\nthree\nfour\n");
    check(&attempt, &exit);
}

#[test]
fn a_script_that_closes_its_output_is_still_watched() {
    let mut attempt = Attempt::new("echo bye; exec >&- 2>&-; sleep 1; exit 7").start();
    attempt.wait_for_output("bye");
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", attempt.dir.shim().unwrap().unwrap().pid)).unwrap();
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
        fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>()
    };
    let before = ticks();
    // What is counted is the processor time that passes meanwhile.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(ticks() - before <= 5, "waiting costs no processor time");
    assert_eq!(attempt.wait().outcome, Outcome::Exited { code: 7 });
    assert_eq!(attempt.output(), "bye\n");
}

#[test]
fn a_script_larger_than_an_argument_list_runs() {
    let script = format!("{}\necho end", "# a comment that goes on and on\n".repeat(100_000));
    let (exit, output) = Attempt::new(&script).run();
    assert_eq!((exit.outcome, output.as_str()), (Outcome::Exited { code: 0 }, "end\n"));
}
