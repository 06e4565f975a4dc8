//! Circles over HTTPS: their log, their groups, and changes of them; and the KeyPackages that a circle begins with.
use bytes::Bytes;
use hyper::Method;
use ids::{Aor, ConferenceId, DeviceId};
use mls::circle::Circle;
use mls::wire::{
    self, BUNDLE, Bundle, CIRCLE_LOG, CIRCLES, COMMIT_RESULT, CircleLog, ClaimedKeyPackage,
    CommitResult, FOUNDING, Founding, GROUP_STATE, GroupState, KEY_PACKAGES, Malformed,
};

use crate::directory::{Asked, Directory};
use crate::event::Error;

/// What there is, or `None` where there is nothing of that name.
fn found(asked: Result<Bytes, Error>) -> Result<Option<Bytes>, Error> {
    match asked {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::Refused { status: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn understood<T>(what: &'static str, read: Result<T, Malformed>) -> Result<T, Error> {
    read.map_err(|error| Error::Answer { what, why: error.to_string() })
}

impl Directory {
    async fn fetch(&self, what: &'static str, path: &str) -> Result<Option<Bytes>, Error> {
        found(self.ask(&Asked { what, method: Method::GET, path, content: None }).await)
    }

    async fn post(
        &self,
        what: &'static str,
        path: &str,
        content: (&'static str, Bytes),
    ) -> Result<CommitResult, Error> {
        let asked = Asked { what, method: Method::POST, path, content: Some(content) };
        understood(COMMIT_RESULT, CommitResult::from_bytes(&self.ask(&asked).await?))
    }

    /// One KeyPackage of each device of a person; none if they have no keys.
    pub(crate) async fn claim(&self, person: &Aor) -> Result<Vec<ClaimedKeyPackage>, Error> {
        let path = format!("/v1/key-packages/{person}");
        match self.fetch("the keys of a person", &path).await? {
            Some(bytes) => understood(KEY_PACKAGES, wire::claims_from_bytes(&bytes)),
            None => Ok(Vec::new()),
        }
    }

    /// The circles of this user.
    pub(crate) async fn circles(&self) -> Result<Vec<Circle>, Error> {
        match self.fetch("the circles", "/v1/circles").await? {
            Some(bytes) => understood(CIRCLES, wire::circles_from_bytes(&bytes)),
            None => Ok(Vec::new()),
        }
    }

    /// What has happened in a circle after this place; none if it has not begun.
    pub(crate) async fn circle_log(
        &self,
        id: &ConferenceId,
        device: &DeviceId,
        after: u64,
    ) -> Result<Option<CircleLog>, Error> {
        let path = format!("/v1/circles/{id}/log?device={device}&after={after}");
        let bytes = self.fetch("the log of a circle", &path).await?;
        bytes.map(|bytes| understood(CIRCLE_LOG, CircleLog::from_bytes(&bytes))).transpose()
    }

    /// The public state of a circle's group.
    pub(crate) async fn circle_group(&self, id: &ConferenceId) -> Result<GroupState, Error> {
        let path = format!("/v1/circles/{id}/group");
        let what = "the group of a circle";
        let asked = Asked { what, method: Method::GET, path: &path, content: None };
        understood(GROUP_STATE, GroupState::from_bytes(&self.ask(&asked).await?))
    }

    /// Has a circle begun.
    pub(crate) async fn circle_found(&self, founding: &Founding) -> Result<CommitResult, Error> {
        self.post("founding a circle", "/v1/circles", (FOUNDING, founding.to_bytes())).await
    }

    /// Has a circle's group changed.
    pub(crate) async fn circle_commit(
        &self,
        id: &ConferenceId,
        device: &DeviceId,
        bundle: &Bundle,
    ) -> Result<CommitResult, Error> {
        let path = format!("/v1/circles/{id}/commits?device={device}");
        self.post("a change of a circle", &path, (BUNDLE, bundle.to_bytes())).await
    }
}
