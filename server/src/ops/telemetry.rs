//! The log: what the server writes about itself, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, util::SubscriberInitExt};

use super::config::{LogFormat, TelemetryConfig};

/// `telemetry.log` is not a filter.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.log (SYNCLINE_TELEMETRY_LOG) is not valid: {0}")]
pub struct InvalidFilter(#[from] tracing_subscriber::filter::ParseError);

/// Write the log of this process from now on. A second call in one process changes nothing.
pub fn start(config: &TelemetryConfig) -> Result<(), InvalidFilter> {
    let filter = EnvFilter::builder().parse(&config.log)?;
    let pretty = match config.format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // It can only fail because there is one already, as in tests.
    let _ = if pretty {
        subscriber.with_ansi(io::stderr().is_terminal()).finish().try_init()
    } else {
        subscriber
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .finish()
            .try_init()
    };
    Ok(())
}
