//! Tells whether the gateway lets others in, when that changes.

use super::App;
use super::screen::{mapping_event, mapping_trouble, mapping_words};
use super::text::Text;
use crate::runtime::{MappingStatus, Session};

/// What the user was told of the gateway.
#[derive(Debug, Default)]
pub(super) struct Gateway(Option<MappingStatus>);

impl Gateway {
    /// What came of asking it, where it is asked.
    pub(super) const fn status(&self) -> Option<&MappingStatus> {
        self.0.as_ref()
    }

    /// Tells what is new.
    pub(super) fn heed(&mut self, session: &Session, app: &mut App<'_>) {
        let latest = session.mapping();
        if self.0 == latest {
            return;
        }
        self.0 = latest;
        let Some(mapping) = &self.0 else {
            return;
        };
        let port = session.port();
        if let Some(event) = mapping_event(mapping, port) {
            app.printer.event(&event);
        }
        if matches!(mapping, MappingStatus::Mapped(_)) {
            let words = mapping_words(mapping);
            app.printer
                .say(&Text::new(format!(" Port {port} is {words}")));
        }
        if let Some(trouble) = mapping_trouble(mapping, port) {
            app.printer.warn("port-mapping", &trouble);
        }
    }
}
