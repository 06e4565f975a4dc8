//! The relays, and the wish that one takes no new room.
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::Admin;
use super::shapes::{Relay, RelayList};
use crate::http::Problem;
use crate::relays::RelayState;

/// The relays, in the order of the configuration.
#[utoipa::path(get, path = "/v1/relays", responses((status = 200, body = RelayList)))]
pub(super) async fn list(State(admin): State<Admin>) -> axum::Json<RelayList> {
    let relay = |state: RelayState| {
        let RelayState { name, control, msrp, reached, draining, rooms } = state;
        Relay { name, control, msrp, reached, draining, rooms }
    };
    axum::Json(RelayList { relays: admin.relays.states().into_iter().map(relay).collect() })
}

/// No new room goes to this relay. The rooms it has stay until they end; then it can be stopped. A restart of the MRFC
/// forgets this.
#[utoipa::path(put, path = "/v1/relays/{name}/drain", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn drain(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    change(&admin, &name, true)
}

/// The relay gets new rooms again.
#[utoipa::path(delete, path = "/v1/relays/{name}/drain", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn undrain(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    change(&admin, &name, false)
}

fn change(admin: &Admin, name: &str, drained: bool) -> Result<StatusCode, Problem> {
    admin.relays.drain(name, drained).map(|()| StatusCode::NO_CONTENT).map_err(|why| {
        let names: Vec<String> =
            admin.relays.states().into_iter().map(|relay| relay.name).collect();
        let mend = format!("the relays are called {}", names.join(", "));
        Problem::new(StatusCode::NOT_FOUND, why, "the path", mend)
    })
}
