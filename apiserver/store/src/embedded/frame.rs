//! Frames: how bytes are laid out in a file so that we know later whether they are what was written.
//!
//! A frame is a 16-byte header (magic, payload length, CRC-32C of the payload, CRC-32C of the header) and the payload,
//! padded with zeros to a multiple of 16. Frames follow one another; after the last one a log file holds zeros, which
//! were written before (so that an fdatasync needs no change of metadata).
//!
//! One frame is one group commit: it is written, synced, and only then acknowledged, and the next one is written only
//! after that. So what stands *before* a sound frame was acknowledged, and damage there is damage. Only the very last
//! frame may be torn by a crash, and then it was never acknowledged. How the two are told apart: see [`Tail`].

/// Everything is aligned to this, so that a header never lies across two disk sectors.
pub(crate) const ALIGN: usize = 16;
const HEADER: usize = 16;
const MAGIC: u32 = u32::from_le_bytes(*b"BKF1");
/// The unit a disk writes atomically. Larger ones (4096) are multiples of it.
const SECTOR: usize = 512;

/// How many bytes a payload of this length takes in the file.
pub(crate) fn framed_len(payload: usize) -> usize {
    HEADER + payload.next_multiple_of(ALIGN)
}

/// Appends a frame with this payload.
pub(crate) fn encode(payload: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let length = u32::try_from(payload.len()).expect("a group of transactions is bounded to a few MiB");
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    let header_crc = crc32c::crc32c(&out[start..start + 12]);
    out.extend_from_slice(&header_crc.to_le_bytes());
    out.extend_from_slice(payload);
    out.resize(start + framed_len(payload.len()), 0);
}

/// What stands at one position of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A sound frame, and where the next one begins.
    Frame { payload: &'a [u8], next: usize },
    /// Zeros, or the end of the file: no frame was written here.
    Nothing,
    /// The header is sound, the payload is not. Where it should have ended (maybe past the end of the file).
    BadPayload { end: usize },
    /// Neither a header nor zeros.
    BadHeader,
}

/// Reads what stands at `position`.
pub(crate) fn at(file: &[u8], position: usize) -> Found<'_> {
    let rest = file.get(position..).unwrap_or_default();
    let Some(header) = rest.get(..HEADER) else {
        return if rest.iter().all(|byte| *byte == 0) {
            Found::Nothing
        } else {
            Found::BadHeader
        };
    };
    if header.iter().all(|byte| *byte == 0) {
        return Found::Nothing;
    }
    let word = |i: usize| u32::from_le_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]);
    if word(0) != MAGIC || crc32c::crc32c(&header[..12]) != word(12) {
        return Found::BadHeader;
    }
    let length = word(4) as usize;
    let end = position + framed_len(length);
    match rest.get(HEADER..HEADER + length) {
        Some(payload) if crc32c::crc32c(payload) == word(8) => Found::Frame { payload, next: end },
        _ => Found::BadPayload { end },
    }
}

/// What the end of the last log file looks like, from the first position where no sound frame stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Only zeros follow.
    Clean,
    /// A frame whose write a crash interrupted. It was never acknowledged.
    Torn,
    /// Something that was acknowledged has changed since.
    Damaged(String),
}

/// Judges the end of the last log file.
///
/// A crash in the middle of a write leaves, for each sector, either the old content (zeros) or the new one, or the file
/// ends early. So it is torn if nothing sound follows, and the frame's header is missing (zeros) or a sector of its
/// payload is. Anything else is damage: a sound frame further on (the next group was written only because this one had
/// been synced), or a wrong byte although every sector was written.
pub(crate) fn tail(file: &[u8], position: usize) -> Tail {
    let end_of_data = file.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let found = at(file, position);
    if found == Found::Nothing && end_of_data <= position {
        return Tail::Clean;
    }
    // What lies inside the frame is what a client wrote, and may be made to look like anything.
    let behind = match found {
        Found::BadPayload { end } => end,
        _ => position + ALIGN,
    };
    if let Some(sound) = next_sound(file, behind, end_of_data) {
        return Tail::Damaged(format!(
            "the bytes at {position} are not what was written, those at {sound} are"
        ));
    }
    match found {
        Found::Frame { .. } | Found::Nothing => Tail::Torn,
        Found::BadHeader if file.len() - position < HEADER => Tail::Torn,
        Found::BadHeader => Tail::Damaged(format!("the header at {position} is not what was written")),
        Found::BadPayload { end } if end > file.len() => Tail::Torn,
        Found::BadPayload { end } if misses_a_sector(file, position, end) => Tail::Torn,
        Found::BadPayload { .. } => Tail::Damaged(format!("the bytes after {position} are not what was written")),
    }
}

/// Whether the file ends, from `position` on, as a crash may leave the write of this frame: each sector written or still
/// zero, or the file too short for it. So also if it is there as a whole, or not at all.
pub(crate) fn is_cut_short(file: &[u8], position: usize, frame: &[u8]) -> bool {
    let rest = file.get(position..).unwrap_or_default();
    let (written, behind) = rest.split_at(rest.len().min(frame.len()));
    let mut from = 0;
    while from < written.len() {
        let to = (from + SECTOR - (position + from) % SECTOR).min(written.len());
        let sector = &written[from..to];
        if sector != &frame[from..to] && sector.iter().any(|byte| *byte != 0) {
            return false;
        }
        from = to;
    }
    behind.iter().all(|byte| *byte == 0)
}

fn next_sound(file: &[u8], from: usize, to: usize) -> Option<usize> {
    (from..to)
        .step_by(ALIGN)
        .find(|position| matches!(at(file, *position), Found::Frame { .. }))
}

fn misses_a_sector(file: &[u8], start: usize, end: usize) -> bool {
    let mut from = start;
    while from < end {
        let to = ((from / SECTOR + 1) * SECTOR).min(end);
        // A last sector that holds only a few bytes of padding says nothing.
        if to - from >= ALIGN && file[from..to].iter().all(|byte| *byte == 0) {
            return true;
        }
        from = to;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(payloads: &[&[u8]], zeros: usize) -> Vec<u8> {
        let mut file = Vec::new();
        for payload in payloads {
            encode(payload, &mut file);
        }
        file.resize(file.len() + zeros, 0);
        file
    }

    #[test]
    fn what_was_encoded_is_found_again() {
        let file = file_of(&[b"first", b"", &[7; 5000]], 100);
        let Found::Frame { payload, next } = at(&file, 0) else {
            panic!("no first frame")
        };
        assert_eq!(payload, b"first");
        let Found::Frame { payload, next } = at(&file, next) else {
            panic!("no second frame")
        };
        assert_eq!(payload, b"");
        let Found::Frame { payload, next } = at(&file, next) else {
            panic!("no third frame")
        };
        assert_eq!(payload, [7; 5000]);
        assert_eq!(at(&file, next), Found::Nothing);
        assert_eq!(tail(&file, next), Tail::Clean);
    }

    #[test]
    fn any_flipped_bit_of_a_frame_that_another_follows_is_damage() {
        let sound = file_of(&[b"acknowledged", b"and the next"], 64);
        for position in 0..HEADER + 12 {
            for bit in 0..8 {
                let mut file = sound.clone();
                file[position] ^= 1 << bit;
                assert!(matches!(tail(&file, 0), Tail::Damaged(_)), "byte {position}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_flipped_bit_of_the_last_frame_is_damage_too() {
        let sound = file_of(&[&[7; 3000]], 64);
        for position in 0..HEADER + 3000 {
            let mut file = sound.clone();
            file[position] ^= 0x10;
            assert!(matches!(tail(&file, 0), Tail::Damaged(_)), "byte {position}");
        }
    }

    #[test]
    fn a_last_frame_that_misses_any_sector_is_torn() {
        let sound = file_of(&[&[7; 3000]], 600);
        for sector in 0..(HEADER + 3000) / SECTOR {
            let mut file = sound.clone();
            file[sector * SECTOR..(sector + 1) * SECTOR].fill(0);
            assert_eq!(tail(&file, 0), Tail::Torn, "sector {sector}");
        }
    }

    #[test]
    fn a_frame_inside_what_a_client_wrote_does_not_make_a_torn_write_damage() {
        let mut value = file_of(&[b"looks like a group that followed"], 0);
        value.resize(SECTOR * 3, 7);
        let sound = file_of(&[&value], 64);
        let mut file = sound.clone();
        file[SECTOR..SECTOR * 2].fill(0);
        assert_eq!(tail(&file, 0), Tail::Torn, "a sector is missing");
        assert_eq!(tail(&sound[..SECTOR], 0), Tail::Torn, "the file ends early");
        let mut file = sound.clone();
        encode(b"the next group", &mut file);
        file[SECTOR..SECTOR * 2].fill(0);
        assert!(matches!(tail(&file, 0), Tail::Damaged(_)), "another follows");
    }

    #[test]
    fn a_write_that_is_cut_short_is_known_from_what_it_was_to_be() {
        let frame = file_of(&[&[7; 16]], 0);
        let start = SECTOR - ALIGN;
        let file_with = |content: &[u8]| {
            let mut file = vec![9; start];
            file.extend_from_slice(content);
            file.resize(file.len() + 100, 0);
            file
        };
        let (header, payload) = frame.split_at(ALIGN);
        let zeros = [0; ALIGN];
        for parts in [[header, payload], [header, &zeros], [&zeros, payload], [&zeros, &zeros]] {
            assert!(is_cut_short(&file_with(&parts.concat()), start, &frame));
        }
        for length in start..start + frame.len() {
            assert!(is_cut_short(&file_with(&frame)[..length], start, &frame), "{length}");
        }
        for position in 0..frame.len() + 100 {
            let mut file = file_with(&frame);
            file[start + position] ^= 1;
            assert!(!is_cut_short(&file, start, &frame), "{position}");
        }
    }

    #[test]
    fn a_last_frame_that_is_cut_anywhere_is_torn() {
        let sound = file_of(&[&[7; 3000]], 0);
        for length in 1..HEADER + 3000 {
            assert_eq!(tail(&sound[..length], 0), Tail::Torn, "cut at {length}");
        }
    }
}
