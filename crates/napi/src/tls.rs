//! TLS options as the core knows them.

use crate::dto::TlsDto;
use daffi_core::error::CoreError;
use daffi_core::tls::{ClientTls, Identity, Roots, ServerTls, Trust};

/// For a controller. Without `cert` and `key` the core says that there are none.
pub fn server(options: &TlsDto) -> Result<ServerTls, CoreError> {
    let identity = Identity { cert: pem(options.cert.as_ref()), key: pem(options.key.as_ref()) };
    ServerTls::new(identity, options.request_cert.then(|| roots(options)))
}

/// For a node.
pub fn client(options: &TlsDto) -> Result<ClientTls, CoreError> {
    let trust = match &options.ca {
        _ if options.skip_verify => Trust::Anybody,
        Some(_) => Trust::Roots(roots(options)),
        None => Trust::System,
    };
    let identity = options.cert.as_ref().map(|cert| Identity { cert: cert.as_bytes(), key: pem(options.key.as_ref()) });
    ClientTls::new(trust, identity, options.server_name.clone())
}

fn roots(options: &TlsDto) -> Roots<'_> {
    Roots { certificates: pem(options.ca.as_ref()), revoked: options.crl.as_ref().map(|crl| crl.as_bytes()) }
}

fn pem(option: Option<&String>) -> &[u8] {
    option.map_or(&[], |pem| pem.as_bytes())
}
