//! What a media line says of the one file it is for (RFC 5547, 6): which file, which transfer of it, which part, and what
//! it may be shown as. Nothing here touches a file system: a name is a name, and whoever saves under it makes it harmless.
mod selector;

use sdp_types::{Attribute, Media};

pub use selector::{FileHash, FileSelector};

/// Octets of an identifier or a disposition; RFC 5547, 8.1 suggests 32 for the one.
const TOKEN_OCTETS_MAX: usize = 255;
/// RFC 5547, 8.3: the attributes with which a refused line goes back.
const GO_BACK: [&str; 2] = ["file-selector", "file-transfer-id"];

/// What a media line says of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileMedia {
    /// Which file.
    pub selector: FileSelector,
    /// Which transfer of it: an offer that is repeated has the same.
    pub transfer_id: String,
    /// What to do with it: `render` or `attachment`.
    pub disposition: Option<String>,
    /// When it was created, changed and read.
    pub dates: FileDates,
    /// The Content-ID of a small picture of it, in another part of the same body.
    pub icon: Option<String>,
    /// Which part of it; all of it if absent.
    pub range: Option<FileRange>,
}

/// Dates of a file, in the form of RFC 5322.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileDates {
    /// `creation`
    pub creation: Option<String>,
    /// `modification`
    pub modification: Option<String>,
    /// `read`
    pub read: Option<String>,
}

/// A part of a file: octets are counted from 1, and the last one belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRange {
    start: u64,
    stop: Option<u64>,
}

/// What is wrong with the description of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFile {
    /// The selector is none, or says the same thing twice.
    #[error("malformed file-selector")]
    Selector,
    /// Not a token, or longer than anybody's.
    #[error("no file-transfer-id, or a malformed one")]
    TransferId,
    /// Not a token.
    #[error("malformed file-disposition")]
    Disposition,
    /// Not quoted, or the same date twice.
    #[error("malformed file-date")]
    Date,
    /// Not a `cid:` URL.
    #[error("malformed file-icon")]
    Icon,
    /// It starts before the first octet, or ends before it starts.
    #[error("malformed file-range")]
    Range,
}

impl FileMedia {
    /// A new transfer of a file: its identifier has to be random (RFC 5547, 8.1).
    pub fn new(selector: FileSelector, transfer_id: &str) -> Self {
        Self { selector, transfer_id: transfer_id.to_owned(), ..Self::default() }
    }

    /// Whether this is no file but says that its author knows files (RFC 5547, 8.5).
    pub fn is_capability(&self) -> bool {
        self.selector.is_empty()
    }

    /// The answer of who will receive it (RFC 5547, 8.3.1): the same file, transfer and part, and nothing else of it.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        let (selector, range) = (self.selector.clone(), self.range);
        Self { selector, range, ..Self::new(FileSelector::default(), &self.transfer_id) }
    }

    /// What an offer that comes later, in the same session, asks for (RFC 5547, 8.1, Figure 3).
    pub fn compared_with(&self, earlier: &Self) -> Repetition {
        match (self.transfer_id == earlier.transfer_id, self.selector.may_be(&earlier.selector)) {
            (true, true) => Repetition::Same,
            (true, false) => Repetition::Contradiction,
            (false, _) => Repetition::New,
        }
    }

    pub(super) fn read(media: &Media) -> Result<Option<Self>, BadFile> {
        let value = |name| media.get_first_attribute_value(name);
        let Some(selector) = value("file-selector") else { return Ok(None) };
        let selector = FileSelector::parse(selector.unwrap_or_default())?;
        if selector.is_empty() {
            return Ok(Some(Self { selector, ..Self::default() }));
        }
        let value = |name| value(name).flatten();
        let id = value("file-transfer-id").filter(|id| is_token(id)).ok_or(BadFile::TransferId)?;
        let disposition = value("file-disposition");
        if disposition.is_some_and(|disposition| !is_token(disposition)) {
            return Err(BadFile::Disposition);
        }
        let icon = value("file-icon").map(|icon| icon.strip_prefix("cid:").ok_or(BadFile::Icon));
        Ok(Some(Self {
            disposition: disposition.map(str::to_ascii_lowercase),
            dates: value("file-date").map(FileDates::parse).transpose()?.unwrap_or_default(),
            icon: icon.transpose()?.map(str::to_owned),
            range: value("file-range").map(FileRange::parse).transpose()?,
            ..Self::new(selector, id)
        }))
    }

    pub(super) fn write(&self, to: &mut Vec<Attribute>) {
        let mut put = |name: &str, value: &str| to.push(Attribute::with_value(name, value));
        if self.is_capability() {
            to.push(Attribute::new("file-selector"));
            return;
        }
        put("file-selector", &self.selector.to_string());
        put("file-transfer-id", &self.transfer_id);
        if let Some(disposition) = &self.disposition {
            put("file-disposition", disposition);
        }
        let dates = self.dates.written();
        if !dates.is_empty() {
            put("file-date", &dates);
        }
        if let Some(icon) = &self.icon {
            put("file-icon", &format!("cid:{icon}"));
        }
        if let Some(range) = self.range {
            put("file-range", &range.to_string());
        }
    }
}

/// Whether an attribute stays on a line that is refused.
pub(super) fn goes_back(attribute: &Attribute) -> bool {
    GO_BACK.iter().any(|name| attribute.attribute.eq_ignore_ascii_case(name))
}

/// What an offer asks for that comes after another one in the same session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// Nothing new: the same transfer.
    Same,
    /// A new transfer.
    New,
    /// The same transfer of another file, which is an error.
    Contradiction,
}

impl FileDates {
    fn parse(text: &str) -> Result<Self, BadFile> {
        let mut dates = Self::default();
        let mut rest = text.trim_end();
        while !rest.is_empty() {
            let (kind, value) = rest.split_once(":\"").ok_or(BadFile::Date)?;
            let (value, behind) = value.split_once('"').ok_or(BadFile::Date)?;
            let place = match kind {
                "creation" => &mut dates.creation,
                "modification" => &mut dates.modification,
                "read" => &mut dates.read,
                _ => return Err(BadFile::Date),
            };
            if place.replace(value.to_owned()).is_some() {
                return Err(BadFile::Date);
            }
            rest = match behind.strip_prefix(' ') {
                Some(rest) => rest,
                None if behind.is_empty() => behind,
                None => return Err(BadFile::Date),
            };
        }
        Ok(dates)
    }

    fn written(&self) -> String {
        let all = [
            ("creation", &self.creation),
            ("modification", &self.modification),
            ("read", &self.read),
        ];
        let said = all.into_iter().filter_map(|(kind, date)| Some((kind, date.as_ref()?)));
        let quoted = |(kind, date): (&str, &String)| {
            let plain = date.replace(|c: char| c.is_control() || c == '"', "");
            format!("{kind}:\"{plain}\"")
        };
        said.map(quoted).collect::<Vec<_>>().join(" ")
    }
}

impl FileRange {
    /// From this octet, 1 being the first, to that one; to the end if there is none.
    ///
    /// # Errors
    /// It starts before the first octet, or ends before it starts.
    pub fn new(start: u64, stop: Option<u64>) -> Result<Self, BadFile> {
        let ordered = start > 0 && stop.is_none_or(|stop| stop >= start);
        if ordered { Ok(Self { start, stop }) } else { Err(BadFile::Range) }
    }

    /// The first octet, counted from 1.
    pub fn start(self) -> u64 {
        self.start
    }

    /// The last octet; `None` is the end of the file.
    pub fn stop(self) -> Option<u64> {
        self.stop
    }

    /// Where it begins, counted from 0, and how many octets it has of a file of this size.
    ///
    /// # Errors
    /// It goes beyond the file.
    pub fn of(self, size: u64) -> Result<(u64, u64), BadFile> {
        let stop = self.stop.unwrap_or(size);
        // What is missing of a file that is here to its last octet is nothing.
        if stop > size || self.start > size + 1 {
            return Err(BadFile::Range);
        }
        Ok((self.start - 1, (stop + 1).saturating_sub(self.start)))
    }

    fn parse(text: &str) -> Result<Self, BadFile> {
        let (start, stop) = text.trim().split_once('-').ok_or(BadFile::Range)?;
        let number = |text: &str| number(text).ok_or(BadFile::Range);
        let stop = if stop == "*" { None } else { Some(number(stop)?) };
        Self::new(number(start)?, stop)
    }
}

impl std::fmt::Display for FileRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.stop {
            Some(stop) => write!(f, "{}-{stop}", self.start),
            None => write!(f, "{}-*", self.start),
        }
    }
}

/// Digits only: no sign, no blank.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn is_token(text: &str) -> bool {
    let fits = (1..=TOKEN_OCTETS_MAX).contains(&text.len());
    fits && text.bytes().all(is_token_octet)
}

/// RFC 4566, 9.
fn is_token_octet(octet: u8) -> bool {
    octet.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]".contains(&octet)
}
