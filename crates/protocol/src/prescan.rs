//! The check of a payload before JavaScript sees a byte of it.
//!
//! A decoder believes lengths; three bytes that promise 65,535 elements cost it memory that the
//! sender never paid for. So every payload is walked once: the elements still owed over all open
//! containers may not exceed the bytes left, and depth and number of containers are bounded
//! (RELIABILITY C11, C12). The walk allocates nothing.

use crate::limits::{MAX_CONTAINERS, MAX_DEPTH};

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrescanError {
    /// It ends inside a value, or promises more elements than bytes are left.
    #[error("the payload promises more than it holds")]
    Truncated,
    /// Bytes follow the value.
    #[error("bytes follow the payload's value")]
    Trailing,
    /// Containers are nested deeper than [`MAX_DEPTH`].
    #[error("the payload is nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// It holds more than [`MAX_CONTAINERS`] containers.
    #[error("the payload holds more than {MAX_CONTAINERS} containers")]
    TooMany,
    /// The byte 0xC1, which MessagePack never uses.
    #[error("the payload is not MessagePack")]
    Malformed,
}

/// Walks one MessagePack value that must fill `payload` exactly.
///
/// # Errors
///
/// [`PrescanError`]: do not decode it; answer with
/// [`ErrorCode::PayloadRejected`](crate::ErrorCode::PayloadRejected).
pub fn prescan(payload: &[u8]) -> Result<(), PrescanError> {
    let mut rest = payload;
    // Elements still owed by each open container; the value itself is owed by nobody.
    let mut open = [0usize; MAX_DEPTH];
    let mut depth = 0usize;
    let mut owed = 1usize;
    let mut containers = 0usize;
    loop {
        let (&byte, tail) = rest.split_first().ok_or(PrescanError::Truncated)?;
        rest = tail;
        owed -= 1;
        let children = match byte {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => None,
            0x80..=0x8f => Some(usize::from(byte & 0x0f) * 2),
            0x90..=0x9f => Some(usize::from(byte & 0x0f)),
            0xa0..=0xbf => skip(&mut rest, usize::from(byte & 0x1f))?,
            0xc4 | 0xd9 => skip_by_length::<1>(&mut rest, 0)?,
            0xc5 | 0xda => skip_by_length::<2>(&mut rest, 0)?,
            0xc6 | 0xdb => skip_by_length::<4>(&mut rest, 0)?,
            0xc7 => skip_by_length::<1>(&mut rest, 1)?,
            0xc8 => skip_by_length::<2>(&mut rest, 1)?,
            0xc9 => skip_by_length::<4>(&mut rest, 1)?,
            0xcc | 0xd0 => skip(&mut rest, 1)?,
            0xcd | 0xd1 => skip(&mut rest, 2)?,
            0xca | 0xce | 0xd2 => skip(&mut rest, 4)?,
            0xcb | 0xcf | 0xd3 => skip(&mut rest, 8)?,
            0xd4 => skip(&mut rest, 2)?,
            0xd5 => skip(&mut rest, 3)?,
            0xd6 => skip(&mut rest, 5)?,
            0xd7 => skip(&mut rest, 9)?,
            0xd8 => skip(&mut rest, 17)?,
            0xdc => Some(length::<2>(&mut rest)?),
            0xdd => Some(length::<4>(&mut rest)?),
            0xde => Some(length::<2>(&mut rest)? * 2),
            0xdf => Some(length::<4>(&mut rest)?.saturating_mul(2)),
            0xc1 => return Err(PrescanError::Malformed),
        };
        if let Some(children) = children {
            containers += 1;
            if containers > MAX_CONTAINERS {
                return Err(PrescanError::TooMany);
            }
            owed = owed.saturating_add(children);
            if owed > rest.len() {
                return Err(PrescanError::Truncated);
            }
            // A container stays open until its last element has ended (C12), empty ones too:
            // the loop below closes it.
            *open.get_mut(depth).ok_or(PrescanError::TooDeep)? = children + 1;
            depth += 1;
        }
        // One element has ended: close every container for which it was the last.
        while let Some(left) = depth.checked_sub(1).and_then(|top| open.get_mut(top)) {
            *left -= 1;
            if *left > 0 {
                break;
            }
            depth -= 1;
        }
        if depth == 0 {
            return if rest.is_empty() { Ok(()) } else { Err(PrescanError::Trailing) };
        }
    }
}

fn skip(rest: &mut &[u8], bytes: usize) -> Result<Option<usize>, PrescanError> {
    *rest = rest.get(bytes..).ok_or(PrescanError::Truncated)?;
    Ok(None)
}

fn skip_by_length<const N: usize>(rest: &mut &[u8], more: usize) -> Result<Option<usize>, PrescanError> {
    let bytes = length::<N>(rest)?;
    skip(rest, bytes.saturating_add(more))
}

fn length<const N: usize>(rest: &mut &[u8]) -> Result<usize, PrescanError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(PrescanError::Truncated)?;
    *rest = tail;
    Ok(head.iter().fold(0usize, |value, byte| (value << 8) | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prescan_accepts_values_of_every_family() {
        for good in [
            &[0xc0][..],
            &[0x01],
            &[0x90],
            &[0x92, 1, 2],
            &[0x81, 0xa1, b'a', 0x90],
            &[0xcb, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xd4, 1, 2],
            &[0xc4, 2, 9, 9],
            &[0xc7, 1, 5, 9],
            &[0x92, 0x91, 0x90, 0x80],
            &[0xdc, 0, 1, 0xc3],
        ] {
            assert_eq!(prescan(good), Ok(()), "{good:02x?}");
        }
    }

    #[test]
    fn prescan_refuses_the_known_bombs() {
        let owes_65535: Vec<u8> = [0xdc, 0xff, 0xff].repeat(24_000);
        assert_eq!(prescan(&owes_65535), Err(PrescanError::Truncated));
        assert_eq!(prescan(&[0xdd, 1, 0xff, 0xff, 0xff]), Err(PrescanError::Truncated));
        assert_eq!(prescan(&vec![0x91; 8 << 20]), Err(PrescanError::TooDeep));
        let mut wide = vec![0xdd, 0, 0x20, 0, 0];
        wide.resize(5 + (1 << 21), 0x90);
        assert_eq!(prescan(&wide), Err(PrescanError::TooMany));
        assert_eq!(prescan(&[0xc1]), Err(PrescanError::Malformed));
        assert_eq!(prescan(&[]), Err(PrescanError::Truncated));
        assert_eq!(prescan(&[0x01, 0x01]), Err(PrescanError::Trailing));
        assert_eq!(prescan(&[0xdf, 0xff, 0xff, 0xff, 0xff, 0]), Err(PrescanError::Truncated));
    }

    #[test]
    fn prescan_sees_the_depth_of_a_last_element() {
        let mut nested = vec![0x91; MAX_DEPTH];
        nested.push(0xc0);
        assert_eq!(prescan(&nested), Ok(()));
        nested.insert(0, 0x91);
        assert_eq!(prescan(&nested), Err(PrescanError::TooDeep));
        // The innermost container may be empty and still counts.
        assert_eq!(prescan(&[vec![0x91; MAX_DEPTH], vec![0x90]].concat()), Err(PrescanError::TooDeep));
    }

    proptest! {
        #[test]
        fn prescan_never_panics(payload in prop::collection::vec(any::<u8>(), 0..4096)) {
            let _ = prescan(&payload);
        }

        #[test]
        fn prescan_refuses_every_truncation(value in prop::collection::vec(prop::collection::vec(any::<u32>(), 0..8), 1..8)) {
            let payload = rmp_serde::to_vec(&value).unwrap();
            prop_assert_eq!(prescan(&payload), Ok(()));
            for end in 0..payload.len() {
                prop_assert_eq!(prescan(&payload[..end]), Err(PrescanError::Truncated));
            }
        }
    }
}
