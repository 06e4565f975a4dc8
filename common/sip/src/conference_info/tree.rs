//! A small document as a tree, read within bounds: no document type, no entities of its own, so that nothing grows
//! beyond what came.
use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};

/// Octets of a document: a full one of 5 000 people with two devices each has about 4 MiB.
const OCTETS_MAX: usize = 8 << 20;
/// Elements inside of each other; the schema needs six.
const DEPTH_MAX: usize = 12;
/// Attributes of one element.
const ATTRIBUTES_MAX: usize = 16;

/// Why a document is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadInfo {
    /// More octets or depth than is read.
    #[error("the conference document is too large")]
    TooLarge,
    /// It is not such a document in well-formed XML and UTF-8.
    #[error("not a conference document (RFC 4575)")]
    Malformed,
    /// A document type, or an entity of its own.
    #[error("a conference document has no DTD and no entities")]
    Dtd,
}

/// Whose name it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// RFC 4575's.
    Info,
    /// RFC 6502's.
    Xcon,
    /// None; usual for attributes.
    None,
    /// Another's.
    Foreign,
}

#[derive(Debug)]
pub(super) struct Element {
    space: Space,
    name: String,
    attributes: Vec<(Space, String, String)>,
    text: String,
    pub(super) children: Vec<Self>,
}

impl Element {
    pub(super) fn is(&self, name: &str) -> bool {
        self.space == Space::Info && self.name == name
    }

    pub(super) fn attribute(&self, space: Space, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(s, n, _)| *s == space && n == name);
        found.map(|(_, _, value)| value.as_str())
    }

    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.is(name))
    }

    /// The text of a child, without space around it.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(Self::text)
    }

    pub(super) fn text(&self) -> &str {
        self.text.trim()
    }
}

/// The root of a document.
pub(super) fn parse(xml: &[u8]) -> Result<Element, BadInfo> {
    if xml.len() > OCTETS_MAX {
        return Err(BadInfo::TooLarge);
    }
    let text = std::str::from_utf8(xml).map_err(|_| BadInfo::Malformed)?;
    let mut reader = NsReader::from_str(text.trim_start_matches('\u{feff}'));
    // What is open, the innermost last.
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        match reader.read_event().map_err(|_| BadInfo::Malformed)? {
            Event::Start(start) => {
                if open.len() >= DEPTH_MAX {
                    return Err(BadInfo::TooLarge);
                }
                open.push(element(&reader, &start)?);
            }
            Event::Empty(start) => {
                let element = element(&reader, &start)?;
                close(&mut open, &mut root, element)?;
            }
            Event::End(_) => {
                let element = open.pop().ok_or(BadInfo::Malformed)?;
                close(&mut open, &mut root, element)?;
            }
            Event::Text(text) => say(&mut open, &text.xml10_content())?,
            Event::CData(text) => say(&mut open, &text.xml10_content())?,
            Event::GeneralRef(name) => {
                let char = match name.resolve_char_ref() {
                    Ok(Some(char)) => char,
                    Ok(None) => predefined(&name.xml10_content()).ok_or(BadInfo::Dtd)?,
                    Err(_) => return Err(BadInfo::Malformed),
                };
                say(&mut open, char.encode_utf8(&mut [0; 4]))?;
            }
            Event::DocType(_) => return Err(BadInfo::Dtd),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof if open.is_empty() => return root.ok_or(BadInfo::Malformed),
            Event::Eof => return Err(BadInfo::Malformed),
        }
    }
}

fn close(
    open: &mut [Element],
    root: &mut Option<Element>,
    element: Element,
) -> Result<(), BadInfo> {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None if root.is_some() => return Err(BadInfo::Malformed),
        None => *root = Some(element),
    }
    Ok(())
}

fn say(open: &mut [Element], text: &str) -> Result<(), BadInfo> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if !text.trim().is_empty() => return Err(BadInfo::Malformed),
        None => {}
    }
    Ok(())
}

fn element(reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<Element, BadInfo> {
    let (found, name) = reader.resolver().resolve_element(start.name());
    let (space, name) = (space(&found), name.as_ref().to_owned());
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| BadInfo::Malformed)?;
        if attributes.len() >= ATTRIBUTES_MAX {
            return Err(BadInfo::TooLarge);
        }
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        let value = value.map_err(|_| BadInfo::Dtd)?.into_owned();
        let (found, name) = reader.resolver().resolve_attribute(attribute.key);
        attributes.push((self::space(&found), name.as_ref().to_owned(), value));
    }
    Ok(Element { space, name, attributes, text: String::new(), children: Vec::new() })
}

fn space(found: &ResolveResult<'_>) -> Space {
    match found {
        ResolveResult::Bound(Namespace(name)) if *name == super::INFO => Space::Info,
        ResolveResult::Bound(Namespace(name)) if *name == super::XCON => Space::Xcon,
        ResolveResult::Unbound => Space::None,
        _ => Space::Foreign,
    }
}

/// The names every document has (XML 1.0, 4.6).
fn predefined(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}
