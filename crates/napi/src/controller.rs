//! The handle of a controller in this process.

use crate::dto::{AddressDto, ControllerDto, ControllerFigures, Failure, StoppedNodesDto, bytes, duration};
use crate::node::address;
use crate::tls;
use daffi_core::controller::{Controller, ControllerOptions, StoppedNodes};
use daffi_core::panics;
use daffi_core::transport::Address;
use napi::Env;
use napi::bindgen_prelude::*;
use napi_derive::napi;
use std::sync::Arc;

/// A controller that runs.
#[napi]
pub struct NativeController {
    core: Controller,
}

/// Starts a controller; resolves to it, or to why it did not start.
#[napi(catch_unwind, ts_return_type = "Promise<NativeController | Failure>")]
pub fn start_controller(env: &Env, options: ControllerDto) -> Result<Object<'_>> {
    let tls = options.tls.as_ref().map(tls::server).transpose();
    let options = ControllerOptions {
        address: Some(address(&options.address)?),
        cookie: options.cookie_path.map(Into::into),
        token: options.token,
        grants: options.grants.map(|grants| grants.into_iter().map(|grant| Arc::new(grant.into())).collect()),
        allow_remote: options.allow_remote,
        handshake_timeout: duration(options.handshake_timeout_ms),
        heartbeat: duration(options.heartbeat_ms),
        dead: duration(options.dead_ms),
        max_payload: bytes(options.max_payload) as u64,
        outbound_soft: bytes(options.outbound_soft),
        outbound_hard: bytes(options.outbound_hard),
        max_connections: bytes(options.max_connections),
        max_per_address: bytes(options.max_per_address),
        max_unauthenticated: bytes(options.max_unauthenticated),
        ..ControllerOptions::default()
    };
    let (deferred, promise) = env.create_deferred()?;
    daffi_core::runtime::spawn(move || async move {
        let started = match tls {
            Ok(tls) => Controller::start(ControllerOptions { tls, ..options }).await,
            Err(error) => Err(error),
        };
        deferred.resolve(move |_| {
            Ok(match started {
                Ok(core) => Either::A(NativeController { core }),
                Err(error) => Either::B(Failure::from(error)),
            })
        });
    })
    .map_err(|error| Error::new(Status::GenericFailure, error.to_string()))?;
    Ok(promise)
}

#[napi]
impl NativeController {
    /// Where it listens, with the real port.
    #[napi(catch_unwind)]
    pub fn address(&self) -> AddressDto {
        match self.core.address() {
            Address::Tcp { host, port } => AddressDto { host: Some(host.clone()), port: Some(*port), path: None },
            Address::Unix { path } => {
                AddressDto { host: None, port: None, path: Some(path.to_string_lossy().into_owned()) }
            }
        }
    }

    /// Takes no new calls, waits at most `drainMs` for those under way, then closes. Resolves when
    /// the address is free again.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn close<'env>(&self, env: &'env Env, drain_ms: f64) -> Result<Object<'env>> {
        let core = self.core.clone();
        let (deferred, promise) = env.create_deferred()?;
        daffi_core::runtime::spawn(move || async move {
            core.close(duration(drain_ms)).await;
            deferred.resolve(|_| Ok(()));
        })
        .map_err(|error| Error::new(Status::GenericFailure, error.to_string()))?;
        Ok(promise)
    }

    /// Asks all nodes but the one in this process to stop; resolves when they have left, or after
    /// `timeoutMs`.
    #[napi(catch_unwind, ts_return_type = "Promise<StoppedNodesDto>")]
    pub fn stop_nodes<'env>(&self, env: &'env Env, timeout_ms: f64) -> Result<Object<'env>> {
        let core = self.core.clone();
        let (deferred, promise) = env.create_deferred()?;
        daffi_core::runtime::spawn(move || async move {
            let StoppedNodes { stopped, remaining } = core.stop_nodes(duration(timeout_ms)).await;
            deferred.resolve(|_| Ok(StoppedNodesDto { stopped, remaining }));
        })
        .map_err(|error| Error::new(Status::GenericFailure, error.to_string()))?;
        Ok(promise)
    }

    /// Figures for people and tests.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> ControllerFigures {
        let stats = self.core.stats();
        ControllerFigures {
            nodes: stats.nodes as f64,
            connections: stats.connections as f64,
            unauthenticated: stats.unauthenticated as f64,
            calls_in_flight: stats.calls_in_flight as f64,
            queued_bytes: stats.queued_bytes as f64,
            stray_responses: stats.stray_responses as f64,
            panics: panics::caught() as f64,
        }
    }
}

impl NativeController {
    pub fn core(&self) -> &Controller {
        &self.core
    }
}
