//! Certificates made for one test.

use daffi_core::tls::{ClientTls, Identity, ServerTls, Trust};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
    RevokedCertParams,
};

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

    /// A list that revokes the certificates of these serial numbers.
    pub fn revoke(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: rcgen::date_time_ymd(2025, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2025, 1, 1),
            next_update: rcgen::date_time_ymd(2125, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// Trusts this authority alone.
    pub fn client(&self, identity: Option<&Signed>) -> ClientTls {
        ClientTls::new(Trust::Roots(self.pem.as_bytes().into()), identity.map(Signed::identity), None).unwrap()
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
        ServerTls::new(self.identity(), clients.map(|authority| authority.pem.as_bytes().into())).unwrap()
    }
}

fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
}
