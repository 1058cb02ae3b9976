//! What WASI 0.2 has opened before the guest starts, and what it answers to each use of the network.

use wasip2::filesystem::preopens::get_directories;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp_create_socket::create_udp_socket;

/// The number of directories, then the answer to each use of the network.
pub fn print() {
    println!("directories {}", get_directories().len());
    let network = instance_network();
    let address = |port| IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (127, 0, 0, 1) });
    let tcp = || create_tcp_socket(IpAddressFamily::Ipv4);
    let udp = || create_udp_socket(IpAddressFamily::Ipv4);
    say("lookup", resolve_addresses(&network, "localhost").map(drop));
    say("tcp bind", tcp().and_then(|tcp| tcp.start_bind(&network, address(0)).and_then(|()| tcp.finish_bind())));
    say("tcp connect", tcp().and_then(|tcp| tcp.start_connect(&network, address(1))));
    say("udp bind", udp().and_then(|udp| udp.start_bind(&network, address(0)).and_then(|()| udp.finish_bind())));
}

fn say(what: &str, answer: Result<(), ErrorCode>) {
    println!("{what} {}", answer.map_or_else(|code| code.name(), |()| "done"));
}
