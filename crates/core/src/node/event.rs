//! What a link tells JavaScript besides the frames of its peer: frames of kinds that never travel.

use daffi_protocol::control::{self, Refused, Welcome};
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

/// The welcome, and behind it the registry it came with as a change: JavaScript decodes that when somebody needs it.
#[must_use]
pub fn welcome(mut welcome: Welcome) -> Vec<u8> {
    let registry = std::mem::take(&mut welcome.registry);
    // Both were read from MessagePack.
    let mut frames = control::frame(Kind::Welcome, &welcome).unwrap_or_default();
    frames.extend(control::frame(Kind::RegistryChange, &registry).unwrap_or_default());
    frames
}

/// Where the kind stands in a header; the test holds it to the codec.
const KIND_OFFSET: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use daffi_protocol::Header;
    use daffi_protocol::control::{GrantNotice, RegistryChange};
    use daffi_protocol::limits::HEADER_BYTES;

    #[test]
    fn frame_differs_from_a_refusal_in_its_kind_only() {
        let refused = control::frame(Kind::Refused, &Refused { code: 20, message: "gone".into() }).unwrap();
        let event = frame(Event::Failed, ErrorCode::ConnectionLost, "gone");
        let differing: Vec<usize> = (0..refused.len()).filter(|at| refused[*at] != event[*at]).collect();
        assert_eq!(differing, [KIND_OFFSET]);
        assert_eq!(event[KIND_OFFSET], 241);
    }

    #[test]
    fn a_welcome_comes_in_two_whole_frames_without_loss() {
        let registry = RegistryChange {
            joined: vec![(1, "own".into()), (70_000, "other".into())],
            names: vec![(7, "f".into())],
            exposes: vec![(1, vec![7])],
            ..RegistryChange::default()
        };
        let told = Welcome {
            proof: vec![1; 32],
            node: 1,
            controller: "other".into(),
            max_payload: 1,
            heartbeat_ms: 2,
            dead_ms: 3,
            local: true,
            grant: Some(GrantNotice { expose: vec!["f*".into()], admin: true }),
            registry: registry.clone(),
        };
        let frames = welcome(told.clone());
        let first = Header::decode(&frames).unwrap().unwrap();
        let (first_frame, rest) = frames.split_at(first.frame_len());
        let second = Header::decode(rest).unwrap().unwrap();
        assert_eq!((first.kind, second.kind, second.frame_len()), (Kind::Welcome, Kind::RegistryChange, rest.len()));
        let body = |frame: &[u8], header: &Header| frame[HEADER_BYTES..][..header.body_len as usize].to_vec();
        let head: Welcome = control::parse(&body(first_frame, &first)).unwrap();
        assert_eq!(head, Welcome { registry: RegistryChange::default(), ..told });
        assert_eq!(control::parse::<RegistryChange>(&body(rest, &second)).unwrap(), registry);
    }
}
