//! The header of 24 bytes: `body_len u32, kind u8, flags u8, unused u16, node u32, slot u32, generation u32, callback
//! u32`, little-endian. A frame is padded to 8 bytes. No IO.

/// Bytes of a header.
pub const HEADER_BYTES: usize = 24;
/// A caller says that it is there.
pub const HELLO: u8 = 1;
/// A worker takes all callbacks.
pub const REGISTER: u8 = 2;
/// The broker's answer to both.
pub const WELCOME: u8 = 3;
/// A call.
pub const REQUEST: u8 = 16;
/// Its answer.
pub const RESPONSE: u8 = 17;
/// One item of a stream, which an answer ends.
pub const ITEM: u8 = 18;
/// The destination of a call that goes to every worker.
pub const EVERYONE: u32 = u32::MAX;
/// Flag of a request without answer.
pub const NO_REPLY: u8 = 1;
/// Callback that gives its argument back.
pub const ECHO: u32 = 1;
/// Callback that adds two numbers.
pub const ADD: u32 = 2;
/// Callback that counts.
pub const NOTE: u32 = 3;
/// Callback that streams the integers below its argument.
pub const RANGE: u32 = 4;

/// What stands in front of a payload.
#[derive(Clone, Copy)]
pub struct Header {
    /// Bytes behind the header, without padding.
    pub body_len: u32,
    /// One of the kinds above.
    pub kind: u8,
    /// [`NO_REPLY`] or 0.
    pub flags: u8,
    /// Destination on the way to the broker (0: any, [`EVERYONE`]: all), source on the way out.
    pub node: u32,
    /// The caller's place for the answer; in a welcome, how many workers there are.
    pub slot: u32,
    /// How often that place was used.
    pub generation: u32,
    /// Which function.
    pub callback: u32,
}

impl Header {
    /// Reads the header at the front of `bytes`; `None` when they are too few.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (bytes, _) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let [l0, l1, l2, l3, kind, flags, _, _, n0, n1, n2, n3, s0, s1, s2, s3, g0, g1, g2, g3, c0, c1, c2, c3] =
            *bytes;
        Some(Self {
            body_len: u32::from_le_bytes([l0, l1, l2, l3]),
            kind,
            flags,
            node: u32::from_le_bytes([n0, n1, n2, n3]),
            slot: u32::from_le_bytes([s0, s1, s2, s3]),
            generation: u32::from_le_bytes([g0, g1, g2, g3]),
            callback: u32::from_le_bytes([c0, c1, c2, c3]),
        })
    }

    /// The header as it travels.
    pub fn bytes(&self) -> [u8; HEADER_BYTES] {
        let [l0, l1, l2, l3] = self.body_len.to_le_bytes();
        let [n0, n1, n2, n3] = self.node.to_le_bytes();
        let [s0, s1, s2, s3] = self.slot.to_le_bytes();
        let [g0, g1, g2, g3] = self.generation.to_le_bytes();
        let [c0, c1, c2, c3] = self.callback.to_le_bytes();
        [l0, l1, l2, l3, self.kind, self.flags, 0, 0, n0, n1, n2, n3, s0, s1, s2, s3, g0, g1, g2, g3, c0, c1, c2, c3]
    }

    /// Bytes of the whole frame: header, payload and padding.
    pub fn frame_len(&self) -> usize {
        HEADER_BYTES + (self.body_len as usize).next_multiple_of(8)
    }

    /// Appends the frame of this header and `body` to `output`.
    pub fn append(&self, body: &[u8], output: &mut Vec<u8>) {
        output.extend_from_slice(&self.bytes());
        output.extend_from_slice(body);
        output.resize(output.len().next_multiple_of(8), 0);
    }
}

/// The header that answers `request` with `body_len` bytes.
pub fn answer(request: &Header, body_len: u32) -> Header {
    Header { body_len, kind: RESPONSE, flags: 0, ..*request }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_as_it_was_written() {
        let header =
            Header { body_len: 5, kind: REQUEST, flags: NO_REPLY, node: 7, slot: 8, generation: 9, callback: ADD };
        let mut frame = Vec::new();
        header.append(&[1, 2, 3, 4, 5], &mut frame);
        assert_eq!(frame.len(), header.frame_len());
        assert_eq!(Header::read(&frame).unwrap().bytes(), header.bytes());
        assert!(Header::read(&frame[..23]).is_none());
    }
}
