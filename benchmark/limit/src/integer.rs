//! Integers as MessagePack writes them, the shortest way. No IO.

/// An integer and its bytes, of which only the first `len` count.
pub struct Encoded {
    bytes: [u8; 5],
    len: usize,
}

impl Encoded {
    /// The bytes that count.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Encodes an integer.
pub fn encode(value: u32) -> Encoded {
    let [a, b, c, d] = value.to_be_bytes();
    let (bytes, len) = match value {
        0..=0x7f => ([d, 0, 0, 0, 0], 1),
        0x80..=0xff => ([0xcc, d, 0, 0, 0], 2),
        0x100..=0xffff => ([0xcd, c, d, 0, 0], 3),
        _ => ([0xce, a, b, c, d], 5),
    };
    Encoded { bytes, len }
}

/// Decodes an integer; `None` when the bytes are something else.
pub fn decode(bytes: &[u8]) -> Option<u32> {
    match *bytes {
        [d @ 0..=0x7f] | [0xcc, d] => Some(u32::from(d)),
        [0xcd, c, d] => Some(u32::from(u16::from_be_bytes([c, d]))),
        [0xce, a, b, c, d] => Some(u32::from_be_bytes([a, b, c, d])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_reads_back_as_it_was_written() {
        for (value, len) in [(0, 1), (127, 1), (128, 2), (255, 2), (256, 3), (65_535, 3), (65_536, 5), (u32::MAX, 5)] {
            let encoded = encode(value);
            assert_eq!(encoded.bytes().len(), len);
            assert_eq!(decode(encoded.bytes()), Some(value));
        }
    }
}
