//! From a policy to the kernel's filter language (classic BPF).
//!
//! The filter is a binary search over ranges of system call numbers. The kernel runs it once per call, and
//! for every number there is when it is installed, so its depth is what counts: nine comparisons here, against a
//! thousand in a chain of rules, which took milliseconds to install.

use std::collections::BTreeMap;

use libc::{sock_filter, sock_fprog};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is made.
    Allow,
    /// It fails with this error.
    Errno(i32),
    /// It fails with this error if all conditions of any of the lists hold; else it is made.
    AllowUnless(&'static [&'static [Condition]], i32),
}

/// Something about an argument, of which only the lower 32 bits are looked at: so does the kernel for all
/// that is compared here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    AnyBit { arg: u32, mask: u32 },
    Equals { arg: u32, value: u32 },
    NoneOf { arg: u32, values: &'static [u32] },
}

const _: () = assert!(
    size_of::<sock_fprog>() > 0 && cfg!(target_endian = "little"),
    "arguments are read by their lower half"
);

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Calls of the x32 interface have this bit, and else the numbers of others.
const X32_BIT: u32 = 0x4000_0000;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const IF_ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Offsets into `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGS: u32 = 16;

/// A filter for these verdicts; what has none gets `otherwise`.
pub(super) fn compile(verdicts: &BTreeMap<u32, Verdict>, otherwise: Verdict) -> Vec<sock_filter> {
    let mut code = Vec::with_capacity(512);
    code.push(plain(LOAD, ARCH));
    code.push(branch(IF_EQUAL, ARCHITECTURE, 1, 0));
    code.push(plain(RETURN, libc::SECCOMP_RET_KILL_PROCESS));
    code.push(plain(LOAD, NUMBER));
    if cfg!(target_arch = "x86_64") {
        code.push(branch(IF_AT_LEAST, X32_BIT, 0, 1));
        code.push(plain(RETURN, errno(libc::ENOSYS)));
    }
    search(&ranges(verdicts, otherwise), &mut code);
    code
}

/// Neighbours with the same verdict together: where each range begins, and what holds from there on.
fn ranges(verdicts: &BTreeMap<u32, Verdict>, otherwise: Verdict) -> Vec<(u32, Verdict)> {
    let mut ranges = vec![(0, otherwise)];
    let mut begin = |at: u32, verdict: Verdict| match ranges.last_mut() {
        Some((_, last)) if *last == verdict => {}
        Some((from, last)) if *from == at => *last = verdict,
        _ => ranges.push((at, verdict)),
    };
    for (number, verdict) in verdicts {
        begin(*number, *verdict);
        if !verdicts.contains_key(&(number + 1)) {
            begin(number + 1, otherwise);
        }
    }
    ranges
}

fn search(ranges: &[(u32, Verdict)], code: &mut Vec<sock_filter>) {
    let [(_, verdict)] = ranges else {
        let (left, right) = ranges.split_at(ranges.len() / 2);
        // A conditional jump reaches 255 instructions, an unconditional one any number.
        code.push(branch(IF_AT_LEAST, right[0].0, 0, 1));
        let jump = code.len();
        code.push(plain(JUMP, 0));
        search(left, code);
        code[jump].k = u32::try_from(code.len() - jump - 1).expect("filters have at most 4096 instructions");
        return search(right, code);
    };
    match verdict {
        Verdict::Allow => code.push(plain(RETURN, libc::SECCOMP_RET_ALLOW)),
        Verdict::Errno(number) => code.push(plain(RETURN, errno(*number))),
        Verdict::AllowUnless(lists, number) => {
            for list in *lists {
                refuse_if_all(list, *number, code);
            }
            code.push(plain(RETURN, libc::SECCOMP_RET_ALLOW));
        }
    }
}

/// Returns the error if all conditions hold, and else goes on behind.
fn refuse_if_all(list: &[Condition], number: i32, code: &mut Vec<sock_filter>) {
    // How many instructions follow a condition within its list: known backwards.
    let length = |condition: &Condition| match condition {
        Condition::AnyBit { .. } | Condition::Equals { .. } => 2,
        Condition::NoneOf { values, .. } => 1 + values.len(),
    };
    let mut left: usize = list.iter().map(length).sum::<usize>() + 1;
    for condition in list {
        left -= length(condition);
        let past = u8::try_from(left).expect("a list of conditions is short");
        match condition {
            Condition::AnyBit { arg, mask } => {
                code.push(plain(LOAD, ARGS + 8 * arg));
                code.push(branch(IF_ANY_BIT, *mask, 0, past));
            }
            Condition::Equals { arg, value } => {
                code.push(plain(LOAD, ARGS + 8 * arg));
                code.push(branch(IF_EQUAL, *value, 0, past));
            }
            Condition::NoneOf { arg, values } => {
                code.push(plain(LOAD, ARGS + 8 * arg));
                for (index, value) in values.iter().enumerate() {
                    let rest = u8::try_from(values.len() - 1 - index).expect("a list of values is short");
                    code.push(branch(IF_EQUAL, *value, rest + past, 0));
                }
            }
        }
    }
    code.push(plain(RETURN, errno(number)));
}

fn errno(number: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | (number.unsigned_abs() & libc::SECCOMP_RET_DATA)
}

fn plain(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

fn branch(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs a filter as the kernel does.
    fn execute(code: &[sock_filter], arch: u32, number: u32, args: [u64; 6]) -> u32 {
        let mut data = [0u32; 16];
        (data[0], data[1]) = (number, arch);
        for (index, arg) in args.iter().enumerate() {
            data[4 + 2 * index] = (*arg & 0xffff_ffff) as u32;
            data[5 + 2 * index] = (*arg >> 32) as u32;
        }
        let (mut at, mut a) = (0usize, 0u32);
        loop {
            let i = code[at];
            at += 1;
            let mut on = |holds: bool| at += usize::from(if holds { i.jt } else { i.jf });
            match i.code {
                LOAD => a = data[i.k as usize / 4],
                JUMP => at += i.k as usize,
                IF_EQUAL => on(a == i.k),
                IF_AT_LEAST => on(a >= i.k),
                IF_ANY_BIT => on(a & i.k != 0),
                RETURN => return i.k,
                other => panic!("unexpected instruction {other}"),
            }
        }
    }

    fn expected(verdict: Verdict, args: [u64; 6]) -> u32 {
        let low = |arg: u32| (args[arg as usize] & 0xffff_ffff) as u32;
        let holds = |condition: &Condition| match condition {
            Condition::AnyBit { arg, mask } => low(*arg) & mask != 0,
            Condition::Equals { arg, value } => low(*arg) == *value,
            Condition::NoneOf { arg, values } => !values.contains(&low(*arg)),
        };
        match verdict {
            Verdict::Allow => libc::SECCOMP_RET_ALLOW,
            Verdict::Errno(number) => errno(number),
            Verdict::AllowUnless(lists, number) => match lists.iter().any(|list| list.iter().all(holds)) {
                true => errno(number),
                false => libc::SECCOMP_RET_ALLOW,
            },
        }
    }

    #[test]
    fn foreign_architectures_are_killed_and_x32_does_not_exist() {
        let code = compile(&BTreeMap::from([(39, Verdict::Allow)]), Verdict::Errno(libc::EPERM));
        assert_eq!(execute(&code, 0x4000_0003, 39, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
        assert_eq!(execute(&code, ARCHITECTURE, X32_BIT | 39, [0; 6]), errno(libc::ENOSYS));
    }

    #[test]
    fn the_policy_fits_and_every_number_gets_its_verdict() {
        for tracing in [crate::spec::Tracing::Forbidden, crate::spec::Tracing::Allowed] {
            let verdicts = super::super::verdicts(tracing);
            let code = super::super::filter(tracing);
            assert!(code.len() < 1024, "{} instructions", code.len());
            for number in 0..1000 {
                let verdict = verdicts
                    .get(&number)
                    .copied()
                    .unwrap_or(super::super::policy::OTHERWISE);
                let flags = [
                    0,
                    1,
                    0x5412,
                    0x1_0000_5412,
                    0o4755,
                    0o100_644,
                    40,
                    16,
                    0x1000_0000,
                    u64::MAX,
                ];
                for (a, b) in flags.iter().flat_map(|a| flags.map(|b| (*a, b))) {
                    let args = [a, b, a, b, 0, 0];
                    assert_eq!(
                        execute(&code, ARCHITECTURE, number, args),
                        expected(verdict, args),
                        "{number} {args:?}"
                    );
                }
            }
        }
    }

    fn any_verdict() -> impl Strategy<Value = Verdict> {
        const LISTS: [&[&[Condition]]; 3] = [
            &[&[
                Condition::AnyBit { arg: 0, mask: 6 },
                Condition::Equals { arg: 1, value: 3 },
            ]],
            &[
                &[Condition::NoneOf {
                    arg: 0,
                    values: &[1, 2, 5],
                }],
                &[Condition::AnyBit { arg: 1, mask: 1 }],
            ],
            &[&[
                Condition::NoneOf { arg: 1, values: &[7] },
                Condition::NoneOf {
                    arg: 0,
                    values: &[4, 5],
                },
            ]],
        ];
        prop_oneof![
            Just(Verdict::Allow),
            (1..3i32).prop_map(Verdict::Errno),
            (0..3usize).prop_map(|i| Verdict::AllowUnless(LISTS[i], 4)),
        ]
    }

    proptest! {
        #[test]
        fn any_policy_compiles_to_what_it_says(
            verdicts in prop::collection::btree_map(0u32..500, any_verdict(), 0..200),
            number in 0u32..510, a in 0u64..8, b in 0u64..8, high in prop::bool::ANY,
        ) {
            let high = if high { 1 << 32 } else { 0 };
            let args = [a | high, b | high, 0, 0, 0, 0];
            let code = compile(&verdicts, Verdict::Errno(9));
            let verdict = verdicts.get(&number).copied().unwrap_or(Verdict::Errno(9));
            prop_assert_eq!(execute(&code, ARCHITECTURE, number, args), expected(verdict, args));
        }
    }
}
