//! What a link tells JavaScript besides the frames of its peer: frames of kinds that never travel.

use daffi_protocol::control::{self, Refused};
use daffi_protocol::{ErrorCode, Kind};

/// A kind of frame that exists only between the link and JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// The connection is lost; the link looks for a new one. Body: code and message.
    Disconnected = 240,
    /// There will be no connection. Body: code and message.
    Failed = 241,
    /// After pressure: there is room for small frames again. No body.
    Room = 242,
    /// The link was closed as asked. No body.
    Closed = 243,
    /// After pressure: there is room for big payloads again. No body.
    BigRoom = 244,
}

/// The event as a frame.
#[must_use]
pub fn frame(event: Event, code: ErrorCode, message: &str) -> Vec<u8> {
    let body = Refused { code: code as u32, message: message.to_owned() };
    // A struct of a number and a text is always MessagePack.
    let mut frame = control::frame(Kind::Refused, &body).unwrap_or_default();
    if let Some(kind) = frame.get_mut(KIND_OFFSET) {
        *kind = event as u8;
    }
    frame
}

/// Where the kind stands in a header; the test holds it to the codec.
const KIND_OFFSET: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_differs_from_a_refusal_in_its_kind_only() {
        let refused = control::frame(Kind::Refused, &Refused { code: 20, message: "gone".into() }).unwrap();
        let event = frame(Event::Failed, ErrorCode::ConnectionLost, "gone");
        let differing: Vec<usize> = (0..refused.len()).filter(|at| refused[*at] != event[*at]).collect();
        assert_eq!(differing, [KIND_OFFSET]);
        assert_eq!(event[KIND_OFFSET], 241);
    }
}
