//! Certificates made for one test.

use daffi_core::tls::{ClientTls, Identity, ServerTls, Trust};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// Who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key, as PEM.
pub struct Signed {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for these names.
    pub fn sign(&self, names: &[&str]) -> Signed {
        self.sign_with(names, |_| {})
    }

    pub fn sign_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let key = KeyPair::generate().unwrap();
        let mut params = params(names);
        change(&mut params);
        Signed { cert: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    /// Trusts this authority alone.
    pub fn client(&self, identity: Option<&Signed>) -> ClientTls {
        ClientTls::new(Trust::Roots(self.pem.as_bytes()), identity.map(Signed::identity), None).unwrap()
    }
}

impl Signed {
    /// Signed by its own key.
    pub fn by_itself(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { cert: params(names).self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    pub fn identity(&self) -> Identity<'_> {
        Identity { cert: self.cert.as_bytes(), key: self.key.as_bytes() }
    }

    /// A controller that shows this certificate and asks for those of `clients`.
    pub fn server(&self, clients: Option<&Authority>) -> ServerTls {
        ServerTls::new(self.identity(), clients.map(|authority| authority.pem.as_bytes())).unwrap()
    }
}

fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
}
