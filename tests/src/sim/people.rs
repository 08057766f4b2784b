//! Who comes to the gate, and what is true of them. The model knows this; the gateway is shown codes and lists alone.

/// At which gate the lane stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// The school gate that ships: people with cards or numbers, whose status counts.
    School,
    /// An entrance for vehicles, whose passes may count once.
    Goods,
}

/// What somebody shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
    /// A card of a known signer.
    Signed,
    /// A number without a signature.
    Number,
    /// A card that somebody else has signed.
    Forged,
    /// A code that is no pass.
    Unreadable,
    /// A card whose time is over.
    Expired,
    /// A card that was taken back.
    Revoked,
    /// A card for something else.
    OtherKind,
}

/// The colour of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Nothing is known against them.
    Green,
    /// To be looked at.
    Yellow,
    /// Not today.
    Red,
}

/// The last test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// Nothing was found, in a sample of this moment (UTC milliseconds).
    Negative(i64),
    /// Something was.
    Positive,
}

/// What the list of statuses says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The colour, if it says one.
    pub colour: Option<Colour>,
    /// The test, if there is one.
    pub test: Option<Test>,
    /// Whether they were in a risk area.
    pub risk_area: bool,
}

/// Somebody.
#[derive(Debug, Clone)]
pub struct Person {
    /// A number: theirs alone.
    pub number: u32,
    /// What they show.
    pub card: Card,
    /// What is on the list of statuses.
    pub status: Option<Status>,
    /// Whether they are listed for a check.
    pub held: bool,
    /// Whether their pass counts once.
    pub once: bool,
}

/// What a thermometer sees when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forehead {
    /// So many thousandths of a degree.
    Reads(i32),
    /// Nobody stands there.
    Nobody,
    /// It answers that it is broken.
    Broken,
}
