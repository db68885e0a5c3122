//! Frame ⇄ bytes: the only file of this crate that knows byte offsets.

use crate::kind::Kind;
use crate::limits::{HEADER_BYTES, MAX_FRAME_BODY_BYTES};

/// The fixed part of a frame, 24 bytes, little-endian.
///
/// | bytes | field | meaning |
/// |---|---|---|
/// | 0–3 | `body_len` | bytes of extension and payload, without the padding behind them |
/// | 4 | `kind` | [`Kind`] |
/// | 5 | `flags` | [`crate::flags`] |
/// | 6–7 | `ext_len` | bytes of the extension at the start of the body, a multiple of 8 |
/// | 8–11 | `node` | to the controller: destination, 0 for any; from it: source, 0 for itself |
/// | 12–15 | `slot` | with `generation`: names the call on this connection |
/// | 16–19 | `generation` | grows each time the slot is taken again |
/// | 20–23 | `callback` | on a request the callback's id; on a response 0 or an error code |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of extension and payload together.
    pub body_len: u32,
    /// What the frame is for.
    pub kind: Kind,
    /// See [`crate::flags`].
    pub flags: u8,
    /// Bytes of the extension, a multiple of 8, at most `body_len`.
    pub ext_len: u16,
    /// Destination towards the controller, source on the way from it.
    pub node: u32,
    /// Where the call stands in the table of the side that allotted it.
    pub slot: u32,
    /// Tells the calls apart that used the same slot.
    pub generation: u32,
    /// Callback id of a request, outcome of a response.
    pub callback: u32,
}

/// Why bytes are not a frame. The position in the stream is lost: close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The header announces a body over the limit; nothing was reserved for it.
    #[error("a frame of {0} bytes is over the limit of {MAX_FRAME_BODY_BYTES}")]
    TooLong(u32),
    /// No frame of this version has this number.
    #[error("unknown frame kind {0}")]
    UnknownKind(u8),
    /// The body of a control frame is no MessagePack.
    #[error("the body of a {0:?} frame cannot be read")]
    UnreadableBody(Kind),
    /// A part says that its payload is memory, and has a body, or no memory came with it.
    #[error("a {0:?} frame without its memory")]
    MissingMemory(Kind),
    /// The extension is longer than the body or not a multiple of eight.
    #[error("an extension of {ext_len} bytes in a body of {body_len}")]
    BadExtension {
        /// As announced.
        ext_len: u16,
        /// As announced.
        body_len: u32,
    },
}

impl Header {
    /// A header without body, addressed to nobody.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self { body_len: 0, kind, flags: 0, ext_len: 0, node: 0, slot: 0, generation: 0, callback: 0 }
    }

    /// Reads the header at the front of `src`.
    ///
    /// `Ok(None)` means `src` holds less than a header. The body is not looked at.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]: tested before any memory is reserved for the body.
    pub fn decode(src: &[u8]) -> Result<Option<Self>, DecodeError> {
        let Some(raw) = src.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let [l0, l1, l2, l3, kind, flags, e0, e1, n0, n1, n2, n3, s0, s1, s2, s3, g0, g1, g2, g3, c0, c1, c2, c3] =
            *raw;
        let body_len = u32::from_le_bytes([l0, l1, l2, l3]);
        if body_len > MAX_FRAME_BODY_BYTES {
            return Err(DecodeError::TooLong(body_len));
        }
        let kind = Kind::from_u8(kind).ok_or(DecodeError::UnknownKind(kind))?;
        let ext_len = u16::from_le_bytes([e0, e1]);
        if u32::from(ext_len) > body_len || ext_len % 8 != 0 {
            return Err(DecodeError::BadExtension { ext_len, body_len });
        }
        Ok(Some(Self {
            body_len,
            kind,
            flags,
            ext_len,
            node: u32::from_le_bytes([n0, n1, n2, n3]),
            slot: u32::from_le_bytes([s0, s1, s2, s3]),
            generation: u32::from_le_bytes([g0, g1, g2, g3]),
            callback: u32::from_le_bytes([c0, c1, c2, c3]),
        }))
    }

    /// The header as bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let [l0, l1, l2, l3] = self.body_len.to_le_bytes();
        let [e0, e1] = self.ext_len.to_le_bytes();
        let [n0, n1, n2, n3] = self.node.to_le_bytes();
        let [s0, s1, s2, s3] = self.slot.to_le_bytes();
        let [g0, g1, g2, g3] = self.generation.to_le_bytes();
        let [c0, c1, c2, c3] = self.callback.to_le_bytes();
        [
            l0,
            l1,
            l2,
            l3,
            self.kind as u8,
            self.flags,
            e0,
            e1,
            n0,
            n1,
            n2,
            n3,
            s0,
            s1,
            s2,
            s3,
            g0,
            g1,
            g2,
            g3,
            c0,
            c1,
            c2,
            c3,
        ]
    }

    /// Writes the header over the first bytes of `frame`, which must hold at least a header.
    pub fn write_over(&self, frame: &mut [u8]) {
        if let Some(head) = frame.first_chunk_mut::<HEADER_BYTES>() {
            *head = self.encode();
        }
    }

    /// Bytes of the whole frame: header, body, padding.
    #[must_use]
    pub const fn frame_len(&self) -> usize {
        frame_len(self.body_len as usize)
    }

    /// Bytes of the payload alone.
    #[must_use]
    pub const fn payload_len(&self) -> usize {
        self.body_len as usize - self.ext_len as usize
    }

    /// A whole frame of this header and `body`; `body_len` is set from it.
    #[must_use]
    pub fn frame(mut self, body: &[u8]) -> Vec<u8> {
        self.body_len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let mut frame = Vec::with_capacity(self.frame_len());
        frame.extend_from_slice(&self.encode());
        frame.extend_from_slice(body);
        frame.resize(frame_len(body.len()), 0);
        frame
    }
}

/// `bytes` rounded up to the next multiple of eight.
#[must_use]
pub const fn padded(bytes: usize) -> usize {
    (bytes + 7) & !7
}

/// Bytes of a whole frame with a body of `body_len` bytes.
#[must_use]
pub const fn frame_len(body_len: usize) -> usize {
    HEADER_BYTES + padded(body_len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decode_refuses_a_length_over_the_limit_before_reserving() {
        for length in [u32::MAX, 0x7fff_ffff, MAX_FRAME_BODY_BYTES + 1] {
            let mut raw = Header::new(Kind::Request).encode();
            raw[..4].copy_from_slice(&length.to_le_bytes());
            assert_eq!(Header::decode(&raw), Err(DecodeError::TooLong(length)));
        }
    }

    #[test]
    fn decode_waits_for_a_whole_header_at_every_truncation() {
        let raw = Header::new(Kind::Ping).encode();
        for end in 0..HEADER_BYTES {
            assert_eq!(Header::decode(&raw[..end]), Ok(None));
        }
        assert_eq!(Header::decode(&raw), Ok(Some(Header::new(Kind::Ping))));
    }

    #[test]
    fn decode_refuses_an_extension_that_is_longer_than_the_body_or_unaligned() {
        for (ext_len, body_len) in [(8, 0), (12, 64), (64, 63)] {
            let raw = Header { ext_len, body_len, ..Header::new(Kind::Request) }.encode();
            assert_eq!(Header::decode(&raw), Err(DecodeError::BadExtension { ext_len, body_len }));
        }
    }

    #[test]
    fn frame_is_padded_to_eight_bytes_whatever_the_body() {
        for length in 0..64 {
            let frame = Header::new(Kind::Request).frame(&vec![7; length]);
            assert_eq!(frame.len() % 8, 0);
            let header = Header::decode(&frame).unwrap().unwrap();
            assert_eq!(header.body_len as usize, length);
            assert_eq!(header.frame_len(), frame.len());
        }
    }

    proptest! {
        #[test]
        fn decode_never_panics_and_encode_gives_the_same_bytes_back(raw in prop::array::uniform24(any::<u8>())) {
            if let Ok(Some(header)) = Header::decode(&raw) {
                prop_assert_eq!(header.encode(), raw);
            }
        }
    }
}
