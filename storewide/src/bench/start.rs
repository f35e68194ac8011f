//! Empty directory to all layers ready, and restart: of the built program, as a process of its own.

use super::figure::Figure;
use super::load::Scratch;
use anyhow::{Context, Result, bail};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const START_MAX: Duration = Duration::from_secs(120);
const STOP_MAX: Duration = Duration::from_secs(60);

pub async fn run() -> Result<Vec<Figure>> {
    let scratch = Scratch::new("start")?;
    let data = scratch.path().join("data");
    let (program, first) = start(&data).await?;
    stop(program)?;
    let (program, again) = start(&data).await?;
    stop(program)?;
    Ok(vec![Figure::new("restart", again.as_secs_f64(), "s"), Figure::new("start", first.as_secs_f64(), "s")])
}

async fn start(data: &Path) -> Result<(Child, Duration)> {
    let (api, gateway, health) = (free()?, free()?, free()?);
    let begin = Instant::now();
    let mut program = Command::new(std::env::current_exe()?)
        .args(["serve", "--data-dir"])
        .arg(data)
        .args(["--api", &api.to_string(), "--gateway", &gateway.to_string(), "--health", &health.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the program")?;
    loop {
        if reqwest::get(format!("http://{health}/readyz")).await.is_ok_and(|answer| answer.status().is_success()) {
            return Ok((program, begin.elapsed()));
        }
        if let Some(status) = program.try_wait()? {
            bail!("the program ended with {status}");
        }
        if begin.elapsed() > START_MAX {
            program.kill()?;
            bail!("the program did not get ready in {} s", START_MAX.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn stop(mut program: Child) -> Result<()> {
    let pid = rustix::process::Pid::from_child(&program);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    let begin = Instant::now();
    while program.try_wait()?.is_none() {
        if begin.elapsed() > STOP_MAX {
            program.kill()?;
            bail!("the program did not stop in {} s", STOP_MAX.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
