//! What people keep here, as JSON.
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A contact list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Contacts {
    /// By address.
    pub contacts: Vec<Contact>,
}

/// Somebody in a contact list: always an address, never a bare number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Contact {
    /// `sip:user@domain`.
    pub address: String,
    /// What the owner of the list calls them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number they were found by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
}

/// Somebody to be put into a contact list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewContact {
    /// `sip:user@domain`, or a number, `tel:+15551230001`, which the server looks up.
    pub contact: String,
    /// What to call them.
    #[serde(default)]
    pub name: Option<String>,
}

/// What to call somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The name; none: none.
    #[serde(default)]
    pub name: Option<String>,
}

/// A phonebook: numbers, which are no contacts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Phonebook {
    /// By number.
    pub entries: Vec<Entry>,
}

/// A number in a phonebook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// `+` and digits.
    pub number: String,
    /// Whose, as the owner of the phonebook says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A number in a phonebook, and the address to call: the server has just looked it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Callable {
    /// `+` and digits.
    pub number: String,
    /// Whose, as the owner of the phonebook says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `sip:user@domain`: an INVITE or a MESSAGE may go there at once.
    pub address: String,
}

/// What a person says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// What the person wants to be called; 64 characters at most.
    pub display_name: Option<String>,
    /// A line about the person; 256 characters at most.
    pub note: Option<String>,
}

/// What a person wants of others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Privacy {
    /// Whose messages get through.
    pub messages_from: From,
    /// Whose invitations to conferences get through.
    pub invitations_from: From,
    /// Who gets nothing through, even as a contact: `sip:user@domain` each.
    pub blocked: Vec<String>,
    /// Whether the person's messages hide who it is where they say nothing about it (RFC 3323).
    pub hide_identity: bool,
    /// When messages wait in the mailbox.
    pub mailbox: MailboxUse,
}

/// When messages wait in the mailbox, where there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MailboxUse {
    /// When no device can be reached.
    #[default]
    Absent,
    /// Always: no device is disturbed, and each gets what waits when it registers.
    Always,
    /// Never: who cannot be reached gets nothing.
    Never,
}

/// From whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// From everybody.
    #[default]
    Everybody,
    /// From those in the contact list.
    Contacts,
    /// From nobody.
    Nobody,
}
