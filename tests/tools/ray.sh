# Makes this checkout known as the distribution `heats` there, as an installation on a machine of a cluster would be.
site=$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
pwd >"$site/heats.pth"
mkdir -p "$site/heats-$version.dist-info"
printf 'Metadata-Version: 2.1\nName: heats\nVersion: %s\n' "$version" >"$site/heats-$version.dist-info/METADATA"
