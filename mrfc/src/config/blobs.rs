//! Where what is too large for the database lies. Doc comments of the keys are the configuration page.
use std::path::PathBuf;

use serde::Deserialize;

/// The blob store: a folder, or a bucket of a server that speaks S3.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blobs {
    /// A folder of this machine. It, or `s3`.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// A bucket. It, or `folder`.
    #[serde(default)]
    pub s3: Option<Bucket>,
}

/// A bucket of a server that speaks S3.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// The server: `https://s3.example.net`.
    pub endpoint: String,
    /// The bucket, which has to be there. Let it forget uploads that were not finished after a day.
    pub bucket: String,
    /// The region, in the server's words. Default `us-east-1`.
    #[serde(default = "region")]
    pub region: String,
    /// What stands before each name, so that others can use the bucket too. Default: nothing.
    #[serde(default)]
    pub prefix: String,
    /// Who asks: a file with the access key's id, its secret and, if there is one, the session token, a line each. Default:
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` of the environment.
    #[serde(default)]
    pub credentials_file: Option<PathBuf>,
    /// Whether the server may be spoken to without TLS. Default false.
    #[serde(default)]
    pub allow_http: bool,
}

fn region() -> String {
    String::from("us-east-1")
}
