//! What a side that ends the handshake says, and what to do about it.

use crate::auth::Secret;
use crate::error::CoreError;
use daffi_protocol::{DecodeError, ErrorCode, VERSION};
use std::time::Duration;

pub(super) fn unwritable(error: impl std::fmt::Display) -> CoreError {
    broken(&format!("a message that cannot be written ({error})"))
}

pub(super) fn unreadable(_: impl std::fmt::Display) -> CoreError {
    broken("a message that cannot be read")
}

/// What is told of a frame that is none.
pub(crate) fn decode_error(error: DecodeError) -> CoreError {
    let code = if matches!(error, DecodeError::TooLong(_)) { ErrorCode::FrameTooLarge } else { ErrorCode::Protocol };
    CoreError::new(code, format!("The peer broke the protocol: {error}."))
}

pub(super) fn broken(what: &str) -> CoreError {
    CoreError::new(ErrorCode::Protocol, format!("The peer broke the protocol of the handshake: {what}."))
}

pub(super) fn version_mismatch(theirs: u8) -> CoreError {
    let message = format!(
        "The peer speaks version {theirs} of the protocol, this side version {VERSION}. Install the same version of \
         daffi on both sides."
    );
    CoreError::new(ErrorCode::VersionMismatch, message)
}

pub(super) fn wrong_method(theirs: &str, ours: &Secret) -> CoreError {
    let message = match (theirs, ours) {
        ("token", _) => "The controller asks for a token. Pass the same `token` as to the controller.",
        ("cert", _) => {
            "The controller asks for a certificate and for nothing else. Pass `tls: { cert, key }`, and no token, to the \
             node."
        }
        (_, Secret::Certificate) => {
            "The controller does not go by certificates alone. Pass `requestCert: true` to it, or leave `cert` and `key` \
             out here."
        }
        (_, Secret::Token(_) | Secret::Tokens(_)) => {
            "The controller does not ask for a token, so it cannot prove that it is the one meant. Pass `token` to the \
             controller too, or leave it out here."
        }
        _ => "The controller asks for another proof than this kind of connection allows. Check the address.",
    };
    CoreError::new(ErrorCode::Unauthorized, message)
}

pub(super) const fn wrong_proof(secret: &Secret) -> &'static str {
    match secret {
        Secret::Token(_) | Secret::Tokens(_) => {
            "The token is not the controller's for a node of this name. Pass the same `token` on both sides, or that of \
             the grant."
        }
        Secret::Cookie(_) => {
            "The cookie is not the controller's. Run node and controller as the same user on the same machine, or pass \
             `token` on both sides."
        }
        Secret::Peer | Secret::Certificate => "A proof came where none was asked for.",
    }
}

pub(super) fn wrong_name(name: &str, names: &[String]) -> CoreError {
    let message = format!(
        "The certificate of this node is not for the name {name}, but for {}. Pass one of these as `processName`, or \
         another certificate.",
        if names.is_empty() { "no DNS name".to_owned() } else { names.join(", ") }
    );
    CoreError::new(ErrorCode::Unauthorized, message)
}

pub(super) fn timed_out(peer: &str, timeout: Duration) -> CoreError {
    let message = format!("The {peer} did not finish the handshake within {} ms.", timeout.as_millis());
    CoreError::new(ErrorCode::HandshakeTimeout, message)
}
