//! The pages of Syncline: what they show, their forms, and the files they load.
//!
//! One struct, one template: a page is a type whose fields are exactly what its template shows, so the handler that
//! fills it cannot forget anything and the template cannot ask the database. Nothing here does any I/O.
//!
//! - [`shell`] is what surrounds the content: who is signed in, where they are, the CSRF token.
//! - [`forms`] keeps what a person typed beside the sentence that says what is wrong with it.
//! - [`links`] knows every address of the dashboard; templates write none by hand.
//! - [`chart`] draws time series.
//! - [`assets`] are the style sheets, scripts and fonts, embedded in the binary.
//! - [`pages`] are the pages, a module for each folder of `templates/`.

pub mod assets;
pub mod chart;
pub mod filters;
pub mod forms;
pub mod links;
pub mod pages;
pub mod qr;
pub mod shell;
