//! The extension of a frame: what is rare, in front of the payload.
//!
//! A run of entries, each of 8 bytes: tag (u16), number of further 8-byte words (u16), value (u32);
//! then those words. A reader skips the tags it does not know.

use crate::limits::MAX_EXTENSION_BYTES;

/// Value: milliseconds until the caller gives up, counted from the arrival of the frame.
pub const TAG_TIMEOUT: u16 = 1;
/// One word: bytes of the whole payload of a fragmented frame.
pub const TAG_TOTAL: u16 = 2;
/// Value: bytes of the MessagePack part; one word per attachment: its length. Attachments follow
/// the MessagePack part, each starting at a multiple of 8 of the payload.
pub const TAG_ATTACHMENTS: u16 = 3;
/// Two words: the key by which a callee knows a call that is sent again.
pub const TAG_KEY: u16 = 4;

/// Walks the entries of `extension` as (tag, value, words). Stops at the first malformed one.
pub fn entries(extension: &[u8]) -> impl Iterator<Item = (u16, u32, &[u8])> {
    let mut rest = extension;
    std::iter::from_fn(move || {
        let (head, tail) = rest.split_first_chunk::<8>()?;
        let [t0, t1, w0, w1, v0, v1, v2, v3] = *head;
        let (words, tail) = tail.split_at_checked(usize::from(u16::from_le_bytes([w0, w1])) * 8)?;
        rest = tail;
        Some((u16::from_le_bytes([t0, t1]), u32::from_le_bytes([v0, v1, v2, v3]), words))
    })
}

/// The total that a fragmented frame announces, `None` when it announces none.
#[must_use]
pub fn total(extension: &[u8]) -> Option<u64> {
    entries(extension)
        .find(|(tag, ..)| *tag == TAG_TOTAL)
        .and_then(|(.., words)| words.first_chunk::<8>().map(|word| u64::from_le_bytes(*word)))
}

/// Bytes of the MessagePack part of a payload with attachments, `None` when there are none.
#[must_use]
pub fn message_pack_len(extension: &[u8]) -> Option<u32> {
    entries(extension).find(|(tag, ..)| *tag == TAG_ATTACHMENTS).map(|(_, value, _)| value)
}

/// One entry as bytes, to be put into an extension.
///
/// At most [`MAX_EXTENSION_BYTES`] of words are taken; what is beyond is left out.
#[must_use]
pub fn entry(tag: u16, value: u32, words: &[u64]) -> Vec<u8> {
    let words = words.get(..words.len().min(usize::from(MAX_EXTENSION_BYTES) / 8)).unwrap_or_default();
    let count = u16::try_from(words.len()).unwrap_or(0);
    let mut bytes = Vec::with_capacity(8 + words.len() * 8);
    bytes.extend_from_slice(&tag.to_le_bytes());
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&value.to_le_bytes());
    for word in words {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_gives_back_what_entry_wrote_and_stops_at_a_cut() {
        let mut bytes = entry(TAG_TIMEOUT, 250, &[]);
        bytes.extend(entry(TAG_TOTAL, 0, &[1 << 40]));
        bytes.extend(entry(TAG_ATTACHMENTS, 16, &[5, 6]));
        let tags: Vec<u16> = entries(&bytes).map(|(tag, ..)| tag).collect();
        assert_eq!(tags, [TAG_TIMEOUT, TAG_TOTAL, TAG_ATTACHMENTS]);
        assert_eq!(total(&bytes), Some(1 << 40));
        assert_eq!(message_pack_len(&bytes), Some(16));
        for end in 0..bytes.len() {
            assert!(entries(&bytes[..end]).count() < 3);
        }
    }
}
