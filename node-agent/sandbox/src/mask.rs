//! Keeping secrets out of the log: every occurrence of a secret's value becomes `***`, before anything is
//! written.
//!
//! Output arrives in chunks that may cut a secret anywhere, so a suffix that could be the beginning of one
//! is held back until it can be no longer, or until the stream ends. Nothing else is ever held back, and
//! never more than the longest secret. There is no deadline after which a held suffix is shown: that would
//! give a script a way to print a secret in slow pieces. The result does not depend on how the stream was
//! cut.
//!
//! Overlapping occurrences become one `***`, so that no piece of a secret is left beside another. Values
//! shorter than [`MIN_SECRET_LEN`] are not masked: they occur in ordinary output by chance, and the holes
//! would tell what they are. A value of several lines is also masked line by line (lines of that length
//! and more), since many programs print it so.

use std::collections::HashMap;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::{Anchored, BuildError, dfa, nfa};

use crate::spec::Secret;

/// The shortest value that is masked, in bytes.
pub const MIN_SECRET_LEN: usize = 6;

/// What stands in the log for a secret.
const STARS: &[u8] = b"***";

/// Up to this many bytes of secrets the faster automaton is worth the time it takes to make.
const DFA_LIMIT: usize = 4096;

/// Replaces secrets in a stream.
pub struct Masker {
    engine: Engine,
    /// Bytes from `start` on that could be the beginning of a secret.
    held: Vec<u8>,
    /// Offset in the stream of the first held byte.
    start: u64,
    /// Everything before this offset is covered by stars that are written already.
    covered: u64,
    /// Occurrences that are not written yet, sorted and not overlapping.
    found: Vec<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    from: u64,
    to: u64,
}

enum Engine {
    Dfa(Scanner<dfa::DFA>),
    Nfa(Scanner<nfa::contiguous::NFA>),
}

struct Scanner<A> {
    automaton: A,
    state: StateID,
    /// How many bytes of a secret each state stands for.
    depths: HashMap<StateID, usize>,
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Masker")
    }
}

impl Masker {
    /// A masker for these values; `None` if none of them is long enough to be masked.
    ///
    /// # Errors
    /// When the values are too much for the automaton (hundreds of megabytes).
    pub fn new(secrets: &[Secret]) -> Result<Option<Self>, BuildError> {
        let mut patterns: Vec<&[u8]> = Vec::new();
        for secret in secrets {
            patterns.push(secret.expose());
            patterns.extend(secret.expose().split(|b| matches!(b, b'\n' | b'\r')));
        }
        patterns.retain(|p| p.len() >= MIN_SECRET_LEN);
        patterns.sort_unstable();
        patterns.dedup();
        if patterns.is_empty() {
            return Ok(None);
        }
        let engine = if patterns.iter().map(|p| p.len()).sum::<usize>() <= DFA_LIMIT {
            Engine::Dfa(Scanner::new(dfa::DFA::new(&patterns)?, &patterns))
        } else {
            Engine::Nfa(Scanner::new(nfa::contiguous::NFA::new(&patterns)?, &patterns))
        };
        Ok(Some(Self {
            engine,
            held: Vec::new(),
            start: 0,
            covered: 0,
            found: Vec::new(),
        }))
    }

    /// Takes the next chunk and appends to `out` what may be shown by now.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let at = self.start + self.held.len() as u64;
        let open = match &mut self.engine {
            Engine::Dfa(scanner) => scanner.scan(chunk, at, &mut self.found),
            Engine::Nfa(scanner) => scanner.scan(chunk, at, &mut self.found),
        };
        let end = at + chunk.len() as u64;
        self.show(chunk, end - open as u64, out);
    }

    /// The stream has ended: nothing that is held back can become a secret any more.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let end = self.start + self.held.len() as u64;
        self.show(&[], end, out);
    }

    /// Writes everything before `until`, of what is held and then of `chunk`, and holds the rest.
    fn show(&mut self, chunk: &[u8], until: u64, out: &mut Vec<u8>) {
        let window = Window {
            start: self.start,
            held: std::mem::take(&mut self.held),
            chunk,
        };
        let mut at = self.start.max(self.covered);
        let mut certain = 0;
        for span in &self.found {
            // One that begins exactly where the held part does is certain: what follows can only make it
            // longer.
            if span.from > until {
                break;
            }
            certain += 1;
            if span.from >= self.covered {
                window.copy(at, span.from, out);
                out.extend_from_slice(STARS);
            }
            self.covered = self.covered.max(span.to);
            at = self.covered;
        }
        self.found.drain(..certain);
        window.copy(at, until, out);
        let mut rest = Vec::new();
        window.copy(until, window.end(), &mut rest);
        (self.start, self.held) = (until, rest);
    }
}

/// The part of the stream at hand: what was held back, and the chunk after it.
struct Window<'a> {
    start: u64,
    held: Vec<u8>,
    chunk: &'a [u8],
}

impl Window<'_> {
    fn end(&self) -> u64 {
        self.start + (self.held.len() + self.chunk.len()) as u64
    }

    /// Appends the bytes between two offsets; none if `to` is not after `from`.
    fn copy(&self, from: u64, to: u64, out: &mut Vec<u8>) {
        let index = |offset: u64| usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let (from, to) = (index(from), index(to));
        if from >= to {
            return;
        }
        let split = self.held.len();
        out.extend_from_slice(&self.held[from.min(split)..to.min(split)]);
        let chunk = |index: usize| index.saturating_sub(split).min(self.chunk.len());
        out.extend_from_slice(&self.chunk[chunk(from)..chunk(to)]);
    }
}

impl<A: Automaton> Scanner<A> {
    fn new(automaton: A, patterns: &[&[u8]]) -> Self {
        let start = automaton
            .start_state(Anchored::No)
            .expect("automata are made for unanchored searches");
        let mut depths = HashMap::new();
        for pattern in patterns {
            let mut state = start;
            for (index, byte) in pattern.iter().enumerate() {
                state = automaton.next_state(Anchored::No, state, *byte);
                depths.insert(state, index + 1);
            }
        }
        Self {
            automaton,
            state: start,
            depths,
        }
    }

    /// Walks over the chunk, which begins at offset `at`, and adds the occurrences that end in it. Returns how
    /// many bytes at its end could be the beginning of one.
    fn scan(&mut self, chunk: &[u8], at: u64, found: &mut Vec<Span>) -> usize {
        let mut state = self.state;
        for (index, byte) in chunk.iter().enumerate() {
            state = self.automaton.next_state(Anchored::No, state, *byte);
            if self.automaton.is_special(state) && self.automaton.is_match(state) {
                let longest = (0..self.automaton.match_len(state))
                    .map(|i| self.automaton.pattern_len(self.automaton.match_pattern(state, i)))
                    .max();
                let to = at + index as u64 + 1;
                add(
                    found,
                    Span {
                        from: to - longest.unwrap_or(0) as u64,
                        to,
                    },
                );
            }
        }
        self.state = state;
        self.depths.get(&state).copied().unwrap_or(0)
    }
}

/// Adds an occurrence that ends after all that are there, joining it with those it overlaps.
fn add(found: &mut Vec<Span>, mut span: Span) {
    while let Some(last) = found.last().copied() {
        if last.to <= span.from {
            break;
        }
        span.from = span.from.min(last.from);
        found.pop();
    }
    found.push(span);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(secrets: &[&[u8]], chunks: &[&[u8]]) -> Vec<u8> {
        let secrets: Vec<Secret> = secrets.iter().map(|s| Secret::new(*s)).collect();
        let mut out = Vec::new();
        match Masker::new(&secrets).unwrap() {
            Some(mut masker) => {
                for chunk in chunks {
                    masker.push(chunk, &mut out);
                }
                masker.finish(&mut out);
            }
            None => out.extend(chunks.concat()),
        }
        out
    }

    /// The definition, without a stream: every byte that is part of an occurrence is covered.
    fn by_definition(secrets: &[Vec<u8>], text: &[u8]) -> Vec<u8> {
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for secret in secrets.iter().filter(|s| s.len() >= MIN_SECRET_LEN) {
            let hits = text.windows(secret.len()).enumerate().filter(|(_, w)| w == secret);
            spans.extend(hits.map(|(i, _)| (i, i + secret.len())));
        }
        spans.sort_unstable();
        let (mut out, mut at) = (Vec::new(), 0);
        for (from, to) in spans {
            if from >= at {
                out.extend_from_slice(&text[at..from]);
                out.extend_from_slice(STARS);
            }
            at = at.max(to);
        }
        out.extend_from_slice(&text[at..]);
        out
    }

    #[test]
    fn a_secret_is_masked_wherever_the_stream_is_cut() {
        let text = b"the password is hunter22, really hunter22";
        for cut in 0..text.len() {
            let out = masked(&[b"hunter22"], &[&text[..cut], &text[cut..]]);
            assert_eq!(out, b"the password is ***, really ***", "cut at {cut}");
        }
    }

    #[test]
    fn only_what_could_be_a_secret_is_held_back() {
        let mut masker = Masker::new(&[Secret::new("hunter22")]).unwrap().unwrap();
        let mut out = Vec::new();
        masker.push(b"say: hunt", &mut out);
        assert_eq!(out, b"say: ");
        masker.push(b"ing", &mut out);
        assert_eq!(out, b"say: hunting");
        masker.push(b"hunter22", &mut out);
        assert_eq!(
            out, b"say: hunting***",
            "a whole secret needs no more bytes to be known"
        );
        masker.push(b"hunter2", &mut out);
        masker.finish(&mut out);
        assert_eq!(out, b"say: hunting***hunter2");
    }

    #[test]
    fn a_secret_of_several_lines_is_masked_by_line_and_short_ones_are_left() {
        let key: &[u8] = b"-----BEGIN-----\nabcdefgh\n==\n";
        assert_eq!(masked(&[key], &[b"x abcdefgh y == z"]), b"x *** y == z");
        assert_eq!(masked(&[b"12345"], &[b"12345"]), b"12345");
    }

    #[test]
    fn an_endless_overlap_takes_no_memory() {
        let mut masker = Masker::new(&[Secret::new("aaaaaa")]).unwrap().unwrap();
        let mut out = Vec::new();
        for _ in 0..1000 {
            masker.push(&[b'a'; 1000], &mut out);
            assert!(masker.held.len() <= 6 && masker.found.len() <= 1);
        }
        masker.finish(&mut out);
        assert_eq!(out, b"***");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn any_cutting_gives_what_the_definition_gives_and_shows_no_secret(
            secrets in prop::collection::vec(prop::collection::vec(b'a'..=b'c', 1..12), 1..5),
            text in prop::collection::vec(b'a'..=b'c', 0..300),
            cuts in prop::collection::vec(0usize..300, 0..20),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            let views: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
            let out = masked(&views, &chunks);
            prop_assert_eq!(&out, &by_definition(&secrets, &text));
            for secret in secrets.iter().filter(|s| s.len() >= MIN_SECRET_LEN) {
                prop_assert!(!out.windows(secret.len()).any(|w| w == secret.as_slice()));
            }
        }
    }
}
