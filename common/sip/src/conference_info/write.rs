//! The document in XML, its elements in the order of the schema (RFC 4575, 8).
use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::{ConferenceInfo, Endpoint, INFO, State, User, XCON};

type Out = Writer<Vec<u8>>;

impl ConferenceInfo {
    /// The document.
    pub fn to_xml(&self) -> String {
        let mut out = Writer::new(Vec::new());
        self.write(&mut out).expect("a vector takes all that is written to it");
        String::from_utf8(out.into_inner()).expect("strings are written, and nothing else")
    }

    fn write(&self, out: &mut Out) -> io::Result<()> {
        out.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let version = self.version.to_string();
        let root = out
            .create_element("conference-info")
            .with_attribute(("xmlns", INFO))
            .with_attribute(("xmlns:xcon", XCON))
            .with_attribute(("entity", legal(&self.entity).as_str()))
            .with_attribute(("state", self.state.as_str()))
            .with_attribute(("version", version.as_str()));
        if self.state == State::Deleted {
            // RFC 4575, 4.4: what is deleted has no children that count.
            root.write_empty()?;
            return Ok(());
        }
        root.write_inner_content(|out| self.content(out))?;
        Ok(())
    }

    fn content(&self, out: &mut Out) -> io::Result<()> {
        let full = self.state == State::Full;
        if full || self.subject.is_some() || self.maximum_user_count.is_some() {
            group(out, "conference-description", |out| {
                text(out, "subject", self.subject.as_deref())?;
                number(out, "maximum-user-count", self.maximum_user_count)
            })?;
        }
        if self.user_count.is_some() || self.active.is_some() || self.locked.is_some() {
            group(out, "conference-state", |out| {
                number(out, "user-count", self.user_count)?;
                text(out, "active", self.active.map(yes_or_no))?;
                text(out, "locked", self.locked.map(yes_or_no))
            })?;
        }
        if !full && self.users.is_empty() {
            return Ok(());
        }
        let users = out.create_element("users").with_attribute(("state", self.state.as_str()));
        users.write_inner_content(|out| self.users.iter().try_for_each(|user| user.write(out)))?;
        Ok(())
    }
}

impl User {
    fn write(&self, out: &mut Out) -> io::Result<()> {
        let user = out
            .create_element("user")
            .with_attribute(("entity", legal(&self.entity).as_str()))
            .with_attribute(("state", self.state.as_str()));
        if self.state == State::Deleted {
            user.write_empty()?;
            return Ok(());
        }
        let user = match &self.nickname {
            Some(nickname) => user.with_attribute(("xcon:nickname", legal(nickname).as_str())),
            None => user,
        };
        user.write_inner_content(|out| {
            text(out, "display-text", self.display_text.as_deref())?;
            if !self.roles.is_empty() {
                group(out, "roles", |out| {
                    self.roles.iter().try_for_each(|role| text(out, "entry", Some(role)))
                })?;
            }
            self.endpoints.iter().try_for_each(|endpoint| endpoint.write(out))
        })?;
        Ok(())
    }
}

impl Endpoint {
    fn write(&self, out: &mut Out) -> io::Result<()> {
        let endpoint = out
            .create_element("endpoint")
            .with_attribute(("entity", legal(&self.entity).as_str()))
            .with_attribute(("state", self.state.as_str()));
        if self.state == State::Deleted {
            endpoint.write_empty()?;
            return Ok(());
        }
        endpoint.write_inner_content(|out| {
            text(out, "display-text", self.display_text.as_deref())?;
            text(out, "status", self.status.map(super::Status::as_str))?;
            text(out, "joining-method", self.joining.map(super::Joining::as_str))?;
            moment(out, "joining-info", self.joined.as_deref())?;
            let how = self.disconnection.map(super::Disconnection::as_str);
            text(out, "disconnection-method", how)?;
            moment(out, "disconnection-info", self.disconnected.as_deref())?;
            let Some(media) = self.media else { return Ok(()) };
            let element = out.create_element("media").with_attribute(("id", "1"));
            element.write_inner_content(|out| {
                text(out, "type", Some("message"))?;
                text(out, "status", Some(media.as_str()))
            })?;
            Ok(())
        })?;
        Ok(())
    }
}

fn group(
    out: &mut Out,
    name: &str,
    content: impl FnOnce(&mut Out) -> io::Result<()>,
) -> io::Result<()> {
    out.create_element(name).write_inner_content(content)?;
    Ok(())
}

fn text(out: &mut Out, name: &str, content: Option<&str>) -> io::Result<()> {
    if let Some(content) = content {
        out.create_element(name).write_text_content(BytesText::new(&legal(content)))?;
    }
    Ok(())
}

fn number(out: &mut Out, name: &str, content: Option<u32>) -> io::Result<()> {
    text(out, name, content.map(|number| number.to_string()).as_deref())
}

fn moment(out: &mut Out, name: &str, when: Option<&str>) -> io::Result<()> {
    if when.is_none() { Ok(()) } else { group(out, name, |out| text(out, "when", when)) }
}

const fn yes_or_no(it: bool) -> &'static str {
    if it { "true" } else { "false" }
}

/// XML 1.0, 2.2 has no control characters but three, not even by reference.
fn legal(text: &str) -> String {
    let illegal = |c: char| {
        (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    text.replace(illegal, "\u{fffd}")
}
