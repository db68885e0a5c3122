//! The plain values that cross the boundary. `binding.d.cts` lists the same types, the same fields,
//! in the same order; every field is present, an absent value is `null`.

use daffi_core::controller::grants::{Grant, Names};
use daffi_core::error::CoreError;
use daffi_protocol::ErrorCode;
use napi_derive::napi;
use std::time::Duration;

/// An expected failure, as data: `code` is a number of the error table.
#[napi(object)]
pub struct Failure {
    pub code: u32,
    pub message: String,
}

impl From<CoreError> for Failure {
    fn from(error: CoreError) -> Self {
        Self { code: error.code as u32, message: error.message }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        CoreError::from_io(ErrorCode::ConnectionLost, "the core could not start", error).into()
    }
}

/// Where a controller is: `host` and `port` for TCP, `path` for a UNIX socket.
#[napi(object, use_nullable = true)]
pub struct AddressDto {
    pub host: Option<String>,
    pub port: Option<u16>,
    pub path: Option<String>,
}

/// TLS, each part as PEM. A controller shows `cert` and asks for certificates that `ca` signed, and `crl` does not list, if `request_cert`; a node
/// trusts `ca`, or the roots of the system, and shows `cert` where it is asked.
#[napi(object, use_nullable = true)]
pub struct TlsDto {
    pub cert: Option<String>,
    pub key: Option<String>,
    pub ca: Option<String>,
    pub crl: Option<String>,
    pub request_cert: bool,
    pub server_name: Option<String>,
    pub skip_verify: bool,
}

/// What the nodes of certain names may do. `call` and `expose` are patterns of names; `null` is each.
#[napi(object, use_nullable = true)]
pub struct GrantDto {
    pub nodes: Vec<String>,
    pub token: Option<String>,
    pub call: Option<Vec<String>>,
    pub expose: Option<Vec<String>>,
    pub schedule: bool,
    pub transfer: bool,
    pub admin: bool,
}

impl From<GrantDto> for Grant {
    fn from(grant: GrantDto) -> Self {
        let GrantDto { nodes, token, call, expose, schedule, transfer, admin } = grant;
        let names = |patterns: Option<Vec<String>>| patterns.map_or(Names::All, Names::These);
        Self { nodes, token, call: names(call), expose: names(expose), schedule, transfer, admin }
    }
}

/// How to start a controller. Times in milliseconds, sizes in bytes.
#[napi(object, use_nullable = true)]
pub struct ControllerDto {
    pub address: AddressDto,
    pub cookie_path: Option<String>,
    pub token: Option<String>,
    pub grants: Option<Vec<GrantDto>>,
    pub tls: Option<TlsDto>,
    pub allow_remote: bool,
    pub handshake_timeout_ms: f64,
    pub heartbeat_ms: f64,
    pub dead_ms: f64,
    pub max_payload: f64,
    pub outbound_soft: f64,
    pub outbound_hard: f64,
    pub max_connections: f64,
    pub max_per_address: f64,
    pub max_unauthenticated: f64,
}

/// How to open a node. Times in milliseconds, sizes in bytes. With a controller of this process the
/// address is not used.
#[napi(object, use_nullable = true)]
pub struct NodeDto {
    pub name: String,
    pub address: AddressDto,
    pub cookie_path: Option<String>,
    pub token: Option<String>,
    pub tls: Option<TlsDto>,
    pub connect_timeout_ms: Option<f64>,
    pub handshake_timeout_ms: f64,
    pub reconnect_min_ms: f64,
    pub reconnect_max_ms: f64,
    pub max_payload: f64,
    pub inbound_bytes: f64,
    pub outbound_soft: f64,
    pub inline: bool,
}

/// Nodes that were asked to stop, by name.
#[napi(object)]
pub struct StoppedNodesDto {
    pub stopped: Vec<String>,
    pub remaining: Vec<String>,
}

/// Figures of a controller.
#[napi(object)]
pub struct ControllerFigures {
    pub nodes: f64,
    pub connections: f64,
    pub unauthenticated: f64,
    pub calls_in_flight: f64,
    pub queued_bytes: f64,
    pub stray_responses: f64,
    pub panics: f64,
}

/// Figures of a node's link.
#[napi(object)]
pub struct NodeFigures {
    pub queued_bytes: f64,
    pub live_buffers: f64,
    pub buffered_bytes: f64,
    pub connections: f64,
    pub inline: bool,
    pub panics: f64,
}

/// At most a year: an instant that far ahead can always be represented.
pub fn duration(ms: f64) -> Duration {
    const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or(LONGEST).min(LONGEST)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes are checked whole numbers in JavaScript"
)]
pub fn bytes(value: f64) -> usize {
    value as usize
}
