//! A document's tree as the value. What is of another schema, or a word of a later one, is passed over (RFC 4575, 4).
use super::tree::{Element, Space, parse};
use super::{
    BadInfo, ConferenceInfo, Disconnection, Endpoint, Joining, Media, State, Status, User,
};

impl ConferenceInfo {
    /// Reads a document.
    ///
    /// # Errors
    /// It is none, or larger than is read.
    pub fn from_xml(xml: &[u8]) -> Result<Self, BadInfo> {
        let root = parse(xml)?;
        if !root.is("conference-info") {
            return Err(BadInfo::Malformed);
        }
        let description = root.child("conference-description");
        let state = root.child("conference-state");
        let people = root.child("users").into_iter().flat_map(|users| &users.children);
        let people = people.filter(|child| child.is("user"));
        Ok(Self {
            entity: entity(&root)?,
            version: root
                .attribute(Space::None, "version")
                .map_or(Ok(0), str::parse)
                .map_err(|_| BadInfo::Malformed)?,
            state: state_of(&root)?,
            subject: description.and_then(|it| it.text_of("subject")).map(str::to_owned),
            maximum_user_count: description.and_then(|it| number(it, "maximum-user-count")),
            user_count: state.and_then(|it| number(it, "user-count")),
            active: state.and_then(|it| yes_or_no(it, "active")),
            locked: state.and_then(|it| yes_or_no(it, "locked")),
            users: people.map(user).collect::<Result<_, _>>()?,
        })
    }
}

fn user(element: &Element) -> Result<User, BadInfo> {
    let roles = element.child("roles").into_iter().flat_map(|roles| &roles.children);
    let endpoints = element.children.iter().filter(|child| child.is("endpoint"));
    Ok(User {
        entity: entity(element)?,
        state: state_of(element)?,
        display_text: element.text_of("display-text").map(str::to_owned),
        nickname: element.attribute(Space::Xcon, "nickname").map(str::to_owned),
        roles: roles.filter(|role| role.is("entry")).map(|role| role.text().to_owned()).collect(),
        endpoints: endpoints.map(endpoint).collect::<Result<_, _>>()?,
    })
}

fn endpoint(element: &Element) -> Result<Endpoint, BadInfo> {
    let when = |name| element.child(name).and_then(|it| it.text_of("when")).map(str::to_owned);
    let is_message = |media: &&Element| media.text_of("type") == Some("message");
    let media = element.children.iter().filter(|child| child.is("media")).find(is_message);
    Ok(Endpoint {
        entity: entity(element)?,
        state: state_of(element)?,
        display_text: element.text_of("display-text").map(str::to_owned),
        status: element.text_of("status").and_then(Status::parse),
        joining: element.text_of("joining-method").and_then(Joining::parse),
        joined: when("joining-info"),
        disconnection: element.text_of("disconnection-method").and_then(Disconnection::parse),
        disconnected: when("disconnection-info"),
        media: media.and_then(|media| media.text_of("status")).and_then(Media::parse),
    })
}

fn entity(element: &Element) -> Result<String, BadInfo> {
    element.attribute(Space::None, "entity").map(str::to_owned).ok_or(BadInfo::Malformed)
}

/// RFC 4575, 4.4: full where nothing is said.
fn state_of(element: &Element) -> Result<State, BadInfo> {
    match element.attribute(Space::None, "state") {
        None => Ok(State::Full),
        Some(word) => State::parse(word).ok_or(BadInfo::Malformed),
    }
}

fn number(element: &Element, name: &str) -> Option<u32> {
    element.text_of(name)?.parse().ok()
}

fn yes_or_no(element: &Element, name: &str) -> Option<bool> {
    match element.text_of(name)? {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}
