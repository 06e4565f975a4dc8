//! Who may register how, and what is noted of it.
use serde::Deserialize;

/// Registration (RFC 3261, 10; RFC 5626).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Registration {
    /// Whether attempts to register are noted in the store: when, who, which device, from where, with what result. Never
    /// a credential. Default true.
    pub audit: bool,
    /// Attempts that are kept; the oldest go first. 100 000: some 20 MB.
    pub audit_max: u32,
    /// Whether a device may prove itself by the certificate that our issuer gave it, in TLS, and is then not asked for a
    /// password. Default false: a stolen device is out only when its certificate ends.
    pub device_certificates: bool,
    /// Whether clients must take part in the security agreement (RFC 3329); otherwise 421. Default false: whoever comes
    /// over TLS is protected, and clients that know no agreement are common.
    pub security_agreement: bool,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            audit: true,
            audit_max: 100_000,
            device_certificates: false,
            security_agreement: false,
        }
    }
}
