//! Bytes as a connection reads them: whatever they are, frames come off the front or they are refused, at every cut the
//! same.

use daffi_protocol::limits::{HEADER_BYTES, MAX_FRAME_BODY_BYTES};
use daffi_protocol::{Header, extension};

/// # Panics
///
/// When the decoder takes bytes for more than they are.
pub fn check(input: &[u8]) {
    let mut rest = input;
    while let Ok(Some(header)) = Header::decode(rest) {
        assert!(header.body_len <= MAX_FRAME_BODY_BYTES, "a body over the limit");
        assert!(u32::from(header.ext_len) <= header.body_len && header.ext_len % 8 == 0, "an extension over its body");
        assert_eq!(rest.first_chunk(), Some(&header.encode()), "a header reads back as it was");
        for end in 0..HEADER_BYTES {
            assert_eq!(Header::decode(rest.get(..end).unwrap_or_default()), Ok(None), "less than a header");
        }
        let Some(frame) = rest.get(..header.frame_len()) else { return };
        let body = frame.get(HEADER_BYTES..HEADER_BYTES + header.body_len as usize).unwrap_or_default();
        let (extension, payload) = body.split_at(usize::from(header.ext_len));
        assert_eq!(payload.len(), header.payload_len());
        let words: usize = extension::entries(extension).map(|(_, _, words)| 8 + words.len()).sum();
        assert!(words <= extension.len(), "entries over their extension");
        let _ = (extension::total(extension), extension::message_pack_len(extension));
        rest = rest.get(header.frame_len()..).unwrap_or_default();
    }
}
