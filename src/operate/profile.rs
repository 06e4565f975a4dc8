//! Where the MRFC is and what proves that we may operate it: flag over environment over profile file.
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use service::secret::Secret;
use service::tls::{self, Identity, Trust};

use super::failure::{Failure, Kind};
use super::grammar::Reach;

/// The profile that a system on loopback leaves in its folder, below the working directory.
const OF_DEV: &str = "conclave-dev/operator.toml";
/// The profile of a person, below the home directory.
const OF_HOME: &str = ".config/conclave/operator.toml";

/// A profile file. Paths in it are relative to its folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Profile {
    server: Option<String>,
    server_name: Option<String>,
    ca_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
}

/// Everything that is needed to ask.
pub(super) struct Target {
    /// `host:port`.
    pub(super) server: String,
    /// The name in its certificate.
    pub(super) name: String,
    pub(super) tls: std::sync::Arc<rustls::ClientConfig>,
    pub(super) token: Option<Secret>,
    /// Where this is said, for whoever has to mend it.
    pub(super) said: String,
}

impl Target {
    /// Puts flags, environment and profile together.
    ///
    /// # Errors
    /// Something is missing, or a file of it is no good.
    pub(super) fn find(reach: &Reach) -> Result<Self, Failure> {
        let (file, profile) = read(reach)?;
        let said = file.as_ref().map_or_else(
            || String::from("--server"),
            |file| format!("the profile {}", file.display()),
        );
        let server = reach.server.clone().or(profile.server);
        let server = server.ok_or_else(nowhere)?;
        let host = server.rsplit_once(':').map(|(host, _)| host);
        let Some(host) = host.filter(|host| !host.is_empty()) else {
            let what = format!("{server:?} is not host:port");
            return Err(Failure::new(Kind::Failed, what, said, "write for example 127.0.0.1:9443"));
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = reach.server_name.clone().or(profile.server_name).unwrap_or(host);
        let missing = |what: &str, mend: &str| Failure::new(Kind::Failed, what, &said, mend);
        let ca_file = reach.ca_file.clone().or(profile.ca_file);
        let ca_file = ca_file.ok_or_else(|| {
            let mend = "name it with --ca-file; where --server is given no profile is looked for, but --profile names one";
            missing("the CA of the MRFC's certificate is not named", mend)
        })?;
        let bad = |error: tls::TlsError, mend: &str| missing(&error.to_string(), mend);
        let roots = tls::load_roots(&ca_file);
        let roots = roots.map_err(|error| bad(error, "name another file with --ca-file"))?;
        let pair = |certificate: Option<&PathBuf>, key: Option<&PathBuf>| {
            certificate.cloned().zip(key.cloned())
        };
        let identity = pair(reach.certificate_file.as_ref(), reach.key_file.as_ref())
            .or_else(|| pair(profile.certificate_file.as_ref(), profile.key_file.as_ref()))
            .map(|(certificate, key)| Identity::load(&certificate, &key))
            .transpose()
            .map_err(|error| bad(error, "see --certificate-file and --key-file"))?;
        let token = reach.token_file.clone().or(profile.token_file);
        let token = token.map(|file| Secret::read(&file)).transpose().map_err(|error| {
            missing(&error.to_string(), "name the file of the token with --token-file")
        })?;
        if token.is_none() && identity.is_none() {
            let mend = "name the file of the token with --token-file, or show a certificate with --certificate-file";
            return Err(missing("nothing proves that you are an operator", mend));
        }
        let tls = tls::client_config(Trust::Roots(roots), identity.as_ref(), &[b"http/1.1"]);
        let tls = tls.map_err(|error| bad(error, "see --certificate-file and --key-file"))?;
        Ok(Self { server, name, tls, token, said })
    }
}

fn nowhere() -> Failure {
    Failure::new(
        Kind::Failed,
        "no MRFC is named",
        format!("the command line; there is no {OF_DEV} here and no ~/{OF_HOME}"),
        "start a system with `conclave dev`, or name one with --server or --profile",
    )
}

/// The profile and where it was found.
fn read(reach: &Reach) -> Result<(Option<PathBuf>, Profile), Failure> {
    let found = match &reach.profile {
        Some(file) => Some(file.clone()),
        // Whoever names a server does not mean the system that happens to be here.
        None if reach.server.is_some() => None,
        None => {
            let home = std::env::home_dir().map(|home| home.join(OF_HOME));
            [Some(PathBuf::from(OF_DEV)), home].into_iter().flatten().find(|file| file.exists())
        }
    };
    let Some(file) = found else { return Ok((None, Profile::default())) };
    let wrong = |what: String, mend: &str| {
        Failure::new(Kind::Failed, what, format!("the profile {}", file.display()), mend)
    };
    let text = fs::read_to_string(&file).map_err(|error| {
        wrong(format!("it cannot be read: {error}"), "name another one with --profile")
    })?;
    let profile: Profile = toml::from_str(&text).map_err(|error| {
        let mend = "see `conclave status --help` for what may be in it";
        wrong(format!("it is not understood: {}", error.message()), mend)
    })?;
    let folder = file.parent().map(Path::to_owned).unwrap_or_default();
    Ok((Some(file), profile.below(&folder)))
}

impl Profile {
    fn below(mut self, folder: &Path) -> Self {
        let files = [
            &mut self.ca_file,
            &mut self.token_file,
            &mut self.certificate_file,
            &mut self.key_file,
        ];
        for file in files.into_iter().flatten() {
            *file = folder.join(&file);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_profile_are_relative_to_its_folder() {
        let profile: Profile =
            toml::from_str("ca_file = \"ca.pem\"\ntoken_file = \"/etc/token\"\n").unwrap();

        let profile = profile.below(Path::new("/srv/conclave"));

        assert_eq!(profile.ca_file, Some(PathBuf::from("/srv/conclave/ca.pem")));
        assert_eq!(profile.token_file, Some(PathBuf::from("/etc/token")));
    }

    #[test]
    fn what_is_missing_is_named_with_the_flag_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("operator.toml");
        let cases = [
            ("", "no MRFC is named"),
            ("server = \"nonsense\"", "host:port"),
            ("server = \"127.0.0.1:1\"", "--ca-file"),
            ("server = \"127.0.0.1:1\"\nca_file = \"none.pem\"", "none.pem"),
            ("colour = \"red\"", "colour"),
        ];
        for (text, expected) in cases {
            fs::write(&file, text).unwrap();
            let reach = Reach { profile: Some(file.clone()), ..Reach::default() };

            let failure = Target::find(&reach).err().unwrap().to_string();

            assert!(failure.contains(expected) && failure.contains("mend"), "{failure}");
        }
    }
}
