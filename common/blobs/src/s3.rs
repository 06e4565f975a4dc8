//! A bucket of a server that speaks S3, and what is needed to use it. Credentials are given, never looked for: no profile
//! files, no metadata service of a cloud.
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use super::Error;

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(60);
/// How long reaching the server may take.
const CONNECTING: Duration = Duration::from_secs(5);
/// How long a request that failed is tried again.
const RETRYING: Duration = Duration::from_secs(20);

/// Where a bucket is, and who asks.
#[derive(Clone, Default)]
pub struct S3 {
    /// The server: `https://host:port`. `http` only if `allow_http` says so.
    pub endpoint: String,
    /// The bucket, which is there.
    pub bucket: String,
    /// The region, in the server's words.
    pub region: String,
    /// What stands before each name, so that others can use the bucket too; may be empty.
    pub prefix: String,
    /// Whether requests may go in the clear.
    pub allow_http: bool,
    /// Who asks.
    pub access_key_id: String,
    /// The proof.
    pub secret_access_key: String,
    /// Belongs to credentials that end.
    pub session_token: Option<String>,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, bucket, region, prefix, .. } = self;
        write!(f, "S3 {{ {endpoint} {bucket} {region} {prefix} }}")
    }
}

impl S3 {
    pub(super) fn open(&self) -> Result<Arc<dyn ObjectStore>, Error> {
        let options = ClientOptions::new()
            .with_timeout(REQUEST)
            .with_connect_timeout(CONNECTING)
            .with_allow_http(self.allow_http);
        let retry = RetryConfig { retry_timeout: RETRYING, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new()
            .with_client_options(options)
            .with_retry(retry)
            .with_endpoint(self.endpoint.trim_end_matches('/'))
            .with_allow_http(self.allow_http)
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_access_key_id(&self.access_key_id)
            .with_secret_access_key(&self.secret_access_key);
        if let Some(token) = &self.session_token {
            builder = builder.with_token(token);
        }
        let bucket = builder.build()?;
        Ok(match self.prefix.trim_matches('/') {
            "" => Arc::new(bucket),
            prefix => Arc::new(PrefixStore::new(bucket, prefix.to_owned())),
        })
    }
}
