//! TLS on top of TCP: who is verified and how, and the session behind one connection.
//!
//! Verification is always on unless a user says `dangerouslySkipVerify`. TLS 1.2 and 1.3. Sessions are not resumed, so
//! each connection shows its certificates anew.

mod refusals;
mod session;

pub use refusals::HANDSHAKE_RECORD;
pub use session::{Role, Session, Shaking};

use crate::error::CoreError;
use daffi_protocol::ErrorCode;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use std::fmt;
use std::sync::Arc;

/// A certificate with those that lead to its root, and its private key, as PEM.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// The certificate first.
    pub cert: &'a [u8],
    /// PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: &'a [u8],
}

/// Who signs the certificates of the other side, as PEM.
#[derive(Clone, Copy, Debug)]
pub struct Roots<'a> {
    /// Their certificates.
    pub certificates: &'a [u8],
    /// Their lists of revoked certificates. With any, a certificate of a root without a list is refused, too.
    pub revoked: Option<&'a [u8]>,
}

impl<'a> From<&'a [u8]> for Roots<'a> {
    fn from(certificates: &'a [u8]) -> Self {
        Self { certificates, revoked: None }
    }
}

/// What a controller shows to nodes, and whom it lets in.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    asks_for_certificates: bool,
}

impl ServerTls {
    /// Shows `identity`. With `client_roots` only nodes whose certificate they signed, and did not revoke, get in, each
    /// under a name of that certificate.
    ///
    /// # Errors
    ///
    /// `Unauthorized`: the message names the option that cannot be used and says why.
    pub fn new(identity: Identity<'_>, client_roots: Option<Roots<'_>>) -> Result<Self, CoreError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable("tls", &error))?;
        let builder = match client_roots {
            None => builder.with_no_client_auth(),
            Some(trusted) => {
                let roots = Arc::new(roots(trusted.certificates)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                    .with_crls(revocations(trusted)?)
                    .only_check_end_entity_revocation()
                    .build();
                builder.with_client_cert_verifier(verifier.map_err(|error| unusable("tls.ca", &error))?)
            }
        };
        let (chain, key) = parse(identity)?;
        let mut config = builder.with_single_cert(chain, key).map_err(|error| unusable("tls.cert", &error))?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), asks_for_certificates: client_roots.is_some() })
    }

    /// Whether every node must show a certificate.
    #[must_use]
    pub const fn asks_for_certificates(&self) -> bool {
        self.asks_for_certificates
    }

    /// A session for a connection that was accepted.
    pub(crate) fn accept(&self) -> Result<Session, CoreError> {
        let connection =
            rustls::ServerConnection::new(Arc::clone(&self.config)).map_err(|error| unusable("tls", &error))?;
        Ok(Session::new(connection.into(), Role::Controller))
    }
}

/// Whom a node trusts to be its controller, and what it shows of itself.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    /// In place of the host that is connected to.
    server_name: Option<String>,
    has_identity: bool,
}

/// Who may have signed the certificate of a controller.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// Whom the system trusts.
    System,
    /// These roots alone.
    Roots(Roots<'a>),
    /// Anybody at all: for tests.
    Anybody,
}

impl ClientTls {
    /// Trusts `trust`, and shows `identity` to a controller that asks. The certificate of the controller must be for
    /// `server_name`, or for the host that is connected to.
    ///
    /// # Errors
    ///
    /// As [`ServerTls::new`]; also when the system has no roots.
    pub fn new(
        trust: Trust<'_>,
        identity: Option<Identity<'_>>,
        server_name: Option<String>,
    ) -> Result<Self, CoreError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable("tls", &error))?;
        if let Some(name) = &server_name {
            parse_name(name)?;
        }
        let builder = match trust {
            Trust::Anybody => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider()))),
            Trust::System => builder.with_webpki_verifier(verifier(system_roots()?, Vec::new())?),
            Trust::Roots(trusted) => {
                builder.with_webpki_verifier(verifier(roots(trusted.certificates)?, revocations(trusted)?)?)
            }
        };
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = parse(identity)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| unusable("tls.cert", &error))?
            }
        };
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), server_name, has_identity: identity.is_some() })
    }

    /// Whether it has a certificate to show.
    #[must_use]
    pub const fn has_identity(&self) -> bool {
        self.has_identity
    }

    /// A session for a connection to `host`.
    pub(crate) fn connect(&self, host: &str) -> Result<Session, CoreError> {
        let name = parse_name(self.server_name.as_deref().unwrap_or(host))?;
        let connection =
            rustls::ClientConnection::new(Arc::clone(&self.config), name).map_err(|error| unusable("tls", &error))?;
        Ok(Session::new(connection.into(), Role::Node))
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("asks_for_certificates", &self.asks_for_certificates).finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("has_identity", &self.has_identity).finish_non_exhaustive()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn verifier(
    roots: RootCertStore,
    revoked: Vec<CertificateRevocationListDer<'static>>,
) -> Result<Arc<WebPkiServerVerifier>, CoreError> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .with_crls(revoked)
        .only_check_end_entity_revocation()
        .build()
        .map_err(|error| unusable("tls.ca", &error))
}

fn roots(pem: &[u8]) -> Result<RootCertStore, CoreError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("tls.ca", pem)? {
        roots.add(certificate).map_err(|error| unusable("tls.ca", &error))?;
    }
    Ok(roots)
}

fn revocations(trusted: Roots<'_>) -> Result<Vec<CertificateRevocationListDer<'static>>, CoreError> {
    let Some(pem) = trusted.revoked else { return Ok(Vec::new()) };
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| unusable("tls.crl", &error))?;
    if found.is_empty() { Err(unusable("tls.crl", &"no list of revoked certificates as PEM")) } else { Ok(found) }
}

fn system_roots() -> Result<RootCertStore, CoreError> {
    let mut roots = RootCertStore::empty();
    // One that cannot be read, of a hundred, is no reason to trust nobody.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let message = "This system has no root certificates. Install its package of them, or pass `tls: { ca }`.";
        return Err(CoreError::new(ErrorCode::Unauthorized, message));
    }
    Ok(roots)
}

fn parse(identity: Identity<'_>) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), CoreError> {
    let chain = certificates("tls.cert", identity.cert)?;
    // What is wrong with a key is not repeated: the message must hold nothing of it.
    let key = PrivateKeyDer::from_pem_slice(identity.key)
        .map_err(|_| unusable("tls.key", &"no private key as PEM that is not encrypted"))?;
    Ok((chain, key))
}

fn certificates(option: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CoreError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| unusable(option, &error))?;
    if found.is_empty() { Err(unusable(option, &"no certificate as PEM")) } else { Ok(found) }
}

fn parse_name(name: &str) -> Result<ServerName<'static>, CoreError> {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    ServerName::try_from(bare.to_owned()).map_err(|_| {
        let message = format!("A certificate cannot be for {name}. Pass `tls: {{ serverName }}`, the name it is for.");
        CoreError::new(ErrorCode::Unauthorized, message)
    })
}

fn unusable(option: &str, why: &dyn fmt::Display) -> CoreError {
    CoreError::new(ErrorCode::Unauthorized, format!("`{option}` cannot be used: {why}."))
}

/// Takes every certificate, but still has its owner prove that it holds the key.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
