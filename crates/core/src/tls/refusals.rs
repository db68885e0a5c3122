//! What a side that ends TLS says, and what to do about it.

use super::session::Role;
use crate::error::CoreError;
use daffi_protocol::ErrorCode;

/// Why the handshake or a later record of the peer did not do.
pub(super) fn refused(role: Role, error: &rustls::Error) -> CoreError {
    use rustls::{AlertDescription, CertificateError, Error};
    let advice = match (role, error) {
        (Role::Node, Error::AlertReceived(AlertDescription::ProtocolVersion)) => {
            "The controller speaks no TLS at this port: pass `tls` to it, or leave it out here."
        }
        (_, Error::AlertReceived(AlertDescription::CertificateRevoked)) => {
            "The other side has the certificate of this one on its list of revoked certificates (`tls.crl` there)."
        }
        (_, Error::AlertReceived(_)) if role == Role::Node => {
            "The controller refused this node: does it ask for a certificate (`tls: { cert, key }`) that its `ca` signed?"
        }
        (_, Error::AlertReceived(_)) => "The node did not accept the certificate of this controller.",
        (Role::Node, Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            "Nobody that this node trusts signed the certificate of the controller. Pass the certificate of who did as \
             `tls: { ca }`."
        }
        (_, Error::InvalidCertificate(CertificateError::Revoked)) => "The certificate of the other side was revoked.",
        (_, Error::InvalidCertRevocationList(_)) => {
            "A list in `tls.crl` is not by who signed the certificate, or broken."
        }
        (_, Error::InvalidCertificate(CertificateError::UnknownRevocationStatus)) => {
            "Who signed the certificate of the other side has no list in `tls.crl`. Add it, or leave `crl` out."
        }
        (Role::Node, Error::InvalidCertificate(_)) => {
            "The certificate of the controller does not do. It must be valid now, and for the host or `tls: { serverName }`."
        }
        (Role::Controller, Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => {
            "The node has no certificate that the `ca` of this controller signed and that is valid now."
        }
        (_, Error::DecryptError) => "What the peer sent was changed on the way.",
        (Role::Node, _) => "The controller speaks no TLS here, or none that this node can speak.",
        (Role::Controller, _) => "The node speaks no TLS, or none that this controller can speak.",
    };
    let code = match error {
        Error::InvalidMessage(_) | Error::DecryptError => ErrorCode::Protocol,
        _ => ErrorCode::Unauthorized,
    };
    CoreError::new(code, format!("{advice} TLS says: {error}."))
}

/// What the peer sent in place of TLS, or that it left, and what to do about it.
pub(super) fn no_tls(role: Role, first: Option<u8>) -> CoreError {
    match (role, first) {
        (Role::Node, _) => CoreError::new(
            ErrorCode::ConnectionLost,
            "The controller closed the connection in the TLS handshake. Perhaps it speaks no TLS: then leave `tls` out.",
        ),
        (Role::Controller, None | Some(HANDSHAKE_RECORD)) => {
            CoreError::new(ErrorCode::ConnectionLost, "The node closed the connection in the TLS handshake.")
        }
        (Role::Controller, Some(_)) => {
            CoreError::new(ErrorCode::Protocol, "The controller speaks TLS only. Pass `tls` to the node too.")
        }
    }
}

/// What a TLS connection begins with.
pub const HANDSHAKE_RECORD: u8 = 0x16;
