//! Lists of people in a request (RFC 4826, 3.2; RFC 5364): read with bounds, made distinct, and written as the history
//! that recipients may see. References to other documents (`external`, `entry-ref`) are not followed: RFC 5365, 5 lets a
//! service discard them, and a server that fetches what a request names is a tool for others.
use std::str::FromStr;

use quick_xml::NsReader;
use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};

use crate::uri::Uri;

/// The media type of such a list.
pub const MEDIA_TYPE: &str = "application/resource-lists+xml";

const LISTS: &str = "urn:ietf:params:xml:ns:resource-lists";
const COPY_CONTROL: &str = "urn:ietf:params:xml:ns:copycontrol";
/// RFC 5364, 4: whoever is not to be named to the others.
const ANONYMOUS: &str = "sip:anonymous@anonymous.invalid";
/// Attributes of one element; a list needs five, and comparing them all with each other must stay cheap.
const ATTRIBUTES_MAX: usize = 16;

/// How a recipient stands to the others (RFC 5364, 4); the strongest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CopyControl {
    /// A primary recipient.
    To,
    /// Gets a copy.
    Cc,
    /// Gets a copy that the others do not know of. Also who says nothing.
    #[default]
    Bcc,
}

impl CopyControl {
    /// As the list has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::To => "to",
            Self::Cc => "cc",
            Self::Bcc => "bcc",
        }
    }
}

/// One recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whom the request goes to.
    pub uri: Uri,
    /// How they stand to the others.
    pub copy: CopyControl,
    /// The others do not learn the URI.
    pub anonymize: bool,
    /// What to call them.
    pub display_name: Option<String>,
}

/// How much of a list is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Octets of the document.
    pub octets_max: usize,
    /// Elements inside of each other.
    pub depth_max: usize,
    /// Entries, duplicates counted.
    pub entries_max: usize,
}

impl Entry {
    /// Somebody who is named to the others.
    pub fn to(uri: impl Into<Uri>) -> Self {
        Self { uri: uri.into(), copy: CopyControl::To, anonymize: false, display_name: None }
    }
}

impl Default for Bounds {
    /// 64 KiB, 8 elements deep, 100 entries: a list for a room full of people.
    fn default() -> Self {
        Self { octets_max: 64 * 1024, depth_max: 8, entries_max: 100 }
    }
}

/// Why a list is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadList {
    /// More octets, entries or depth than the bounds say.
    #[error("the resource list is too large")]
    TooLarge,
    /// It is not a resource list in well-formed XML and UTF-8.
    #[error("not a resource list (RFC 4826)")]
    Malformed,
    /// A document type, or an entity of its own: a list needs neither, and bombs are made of them.
    #[error("a resource list has no DTD and no entities")]
    Dtd,
    /// An entry without a URI, or one that is none.
    #[error("an entry of the resource list has no good URI")]
    BadUri,
}

/// Every entry of a list and the lists in it, in order.
///
/// # Errors
/// Too large, or not a resource list.
pub fn read(xml: &[u8], bounds: Bounds) -> Result<Vec<Entry>, BadList> {
    if xml.len() > bounds.octets_max {
        return Err(BadList::TooLarge);
    }
    let text = std::str::from_utf8(xml).map_err(|_| BadList::Malformed)?;
    let mut reading = Reading { bounds, depth: 0, root: false, entries: Vec::new(), name: None };
    let mut reader = NsReader::from_str(text.trim_start_matches('\u{feff}'));
    loop {
        let event = reader.read_event().map_err(|_| BadList::Malformed)?;
        match event {
            Event::Start(start) => {
                reading.start(&reader, &start)?;
                reading.depth += 1;
            }
            Event::Empty(start) => {
                reading.start(&reader, &start)?;
                reading.name = None;
            }
            Event::End(_) => {
                reading.depth = reading.depth.saturating_sub(1);
                reading.name_ends();
            }
            Event::Text(text) => reading.text(&text.xml10_content())?,
            Event::CData(text) => reading.text(&text.xml10_content())?,
            Event::GeneralRef(name) => reading.reference(&name)?,
            Event::DocType(_) => return Err(BadList::Dtd),
            Event::Decl(declaration) => utf8(declaration.encoding())?,
            Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => return reading.finish(),
        }
    }
}

fn utf8<E>(encoding: Option<Result<std::borrow::Cow<'_, str>, E>>) -> Result<(), BadList> {
    match encoding {
        None => Ok(()),
        Some(Ok(name)) if name.eq_ignore_ascii_case("utf-8") => Ok(()),
        Some(_) => Err(BadList::Malformed),
    }
}

struct Reading {
    bounds: Bounds,
    depth: usize,
    /// The root element has come.
    root: bool,
    entries: Vec<Entry>,
    /// The display name that is being read, of the last entry.
    name: Option<String>,
}

impl Reading {
    fn start(&mut self, reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<(), BadList> {
        if self.depth >= self.bounds.depth_max {
            return Err(BadList::TooLarge);
        }
        let (space, name) = reader.resolver().resolve_element(start.name());
        let ours = is(&space, LISTS);
        if self.depth == 0 {
            // One root, and it is a resource list.
            if self.root || !ours || name.as_ref() != "resource-lists" {
                return Err(BadList::Malformed);
            }
            self.root = true;
        }
        match name.as_ref() {
            "entry" if ours => self.entry(reader, start),
            "display-name" if ours && !self.entries.is_empty() => {
                self.name = Some(String::new());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn entry(&mut self, reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<(), BadList> {
        if self.entries.len() >= self.bounds.entries_max {
            return Err(BadList::TooLarge);
        }
        let (mut uri, mut copy, mut anonymize) = (None, CopyControl::default(), false);
        for (at, attribute) in start.attributes().enumerate() {
            let attribute = attribute.map_err(|_| BadList::Malformed)?;
            if at >= ATTRIBUTES_MAX {
                return Err(BadList::TooLarge);
            }
            let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
            let value = value.map_err(|_| BadList::Dtd)?;
            let (space, name) = reader.resolver().resolve_attribute(attribute.key);
            let control = is(&space, COPY_CONTROL);
            match name.as_ref() {
                "uri" if matches!(space, ResolveResult::Unbound) => {
                    uri = Some(Uri::from_str(value.trim()).map_err(|_| BadList::BadUri)?);
                }
                "copyControl" if control => copy = copy_control(value.trim())?,
                "anonymize" if control => anonymize = matches!(value.trim(), "true" | "1"),
                _ => {}
            }
        }
        let uri = uri.ok_or(BadList::BadUri)?;
        self.entries.push(Entry { uri, copy, anonymize, display_name: None });
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), BadList> {
        match &mut self.name {
            Some(name) => name.push_str(text),
            None if self.depth == 0 && !text.trim().is_empty() => return Err(BadList::Malformed),
            None => {}
        }
        Ok(())
    }

    /// A reference to a character, or one of the five names that every document has.
    fn reference(&mut self, name: &quick_xml::events::BytesRef<'_>) -> Result<(), BadList> {
        let char = match name.resolve_char_ref() {
            Ok(Some(char)) => Some(char),
            Ok(None) => match name.xml10_content().as_ref() {
                "amp" => Some('&'),
                "lt" => Some('<'),
                "gt" => Some('>'),
                "quot" => Some('"'),
                "apos" => Some('\''),
                _ => None,
            },
            Err(_) => None,
        };
        let char = char.ok_or(BadList::Dtd)?;
        self.text(char.encode_utf8(&mut [0; 4]))
    }

    fn name_ends(&mut self) {
        let Some(name) = self.name.take() else { return };
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(entry) = self.entries.last_mut()
            && !name.is_empty()
        {
            entry.display_name.get_or_insert(name);
        }
    }

    fn finish(self) -> Result<Vec<Entry>, BadList> {
        if self.root && self.depth == 0 { Ok(self.entries) } else { Err(BadList::Malformed) }
    }
}

fn is(found: &ResolveResult<'_>, wanted: &str) -> bool {
    matches!(found, ResolveResult::Bound(Namespace(name)) if *name == wanted)
}

fn copy_control(value: &str) -> Result<CopyControl, BadList> {
    match value {
        "to" => Ok(CopyControl::To),
        "cc" => Ok(CopyControl::Cc),
        "bcc" => Ok(CopyControl::Bcc),
        _ => Err(BadList::Malformed),
    }
}

/// The same list with each recipient once, by RFC 3261, 19.1.4: with the strongest copy control of its entries, and
/// anonymous if one of them asks for that.
pub fn distinct(entries: Vec<Entry>) -> Vec<Entry> {
    let mut once: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        match once.iter_mut().find(|known| known.uri.is_equivalent(&entry.uri)) {
            Some(known) => {
                known.copy = known.copy.min(entry.copy);
                known.anonymize |= entry.anonymize;
                known.display_name = known.display_name.take().or(entry.display_name);
            }
            None => once.push(entry),
        }
    }
    once
}

/// A list of these (RFC 4826, 3.2; RFC 5364), for a request to many.
pub fn write(entries: &[Entry]) -> String {
    let mut lines = String::new();
    for Entry { uri, copy, anonymize, display_name } in entries {
        let uri = uri.to_string();
        let hidden = if *anonymize { " cp:anonymize=\"true\"" } else { "" };
        let name = display_name.as_ref().map_or_else(String::new, |name| {
            format!("<display-name>{}</display-name>", escape(name.as_str()))
        });
        lines.push_str(&format!(
            "<entry uri=\"{}\" cp:copyControl=\"{}\"{hidden}>{name}</entry>",
            escape(uri.as_str()),
            copy.as_str(),
        ));
    }
    document(&lines)
}

fn document(lines: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<resource-lists xmlns=\"{LISTS}\" \
         xmlns:cp=\"{COPY_CONTROL}\"><list>{lines}</list></resource-lists>\r\n"
    )
}

/// What every recipient may know of the others (RFC 5364, 4): nobody who got a blind copy, and whoever wants to be
/// anonymous as a number. `None` if that is nobody at all.
pub fn history(entries: &[Entry]) -> Option<String> {
    let mut lines = String::new();
    for copy in [CopyControl::To, CopyControl::Cc] {
        let shown = entries.iter().filter(|entry| entry.copy == copy);
        let (hidden, named): (Vec<_>, Vec<_>) = shown.partition(|entry| entry.anonymize);
        let control = copy.as_str();
        for entry in named {
            let uri = entry.uri.to_string();
            lines.push_str(&format!(
                "<entry uri=\"{}\" cp:copyControl=\"{control}\"/>",
                escape(uri.as_str())
            ));
        }
        if !hidden.is_empty() {
            let count = hidden.len();
            lines.push_str(&format!(
                "<entry uri=\"{ANONYMOUS}\" cp:copyControl=\"{control}\" cp:count=\"{count}\"/>"
            ));
        }
    }
    (!lines.is_empty()).then(|| document(&lines))
}
