#!/usr/bin/env bash
# The servers and tools that the integration tests start for themselves. As root on Debian or Ubuntu
# they are installed; elsewhere this says what is missing and which tests that skips.
set -u
declare -A part=(
  [rabbitmq-server]="/usr/lib/rabbitmq/bin/rabbitmq-server|the AMQP bus contract, end-to-end and purge tests"
  [postgresql]="/usr/lib/postgresql/*/bin/initdb|the ledger tests on PostgreSQL, end-to-end tests"
  [dcmtk]="/usr/bin/storescu|the wire tests with dcmtk"
  [chromium]="/usr/bin/chromium|the tests of the pages in a browser"
  [curl]="/usr/bin/curl|the test of the README's commands"
  [dicom3tools]="/usr/bin/dciodvfy|the checks of copies against PS3.3 with dciodvfy"
  [ldap-utils]="/usr/bin/ldapmodify|the tests of signing in with a directory"
  [slapd]="/usr/sbin/slapd|the tests of signing in with a directory"
  [orthanc]="/usr/sbin/Orthanc|the end-to-end tests against Orthanc"
  [orthanc-dicomweb]="/usr/share/orthanc/plugins/libOrthancDicomWeb.so|the tests of DICOMweb with Orthanc"
)
missing=()
for name in "${!part[@]}"; do
  compgen -G "${part[$name]%%|*}" >/dev/null || missing+=("$name")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing for the tests: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null && exit 0
  echo "apt-get could not install them."
fi
for name in "${missing[@]}"; do
  echo "Missing: $name. Without it these are skipped: ${part[$name]#*|}."
done
[ "${CI:-}" = true ] && { echo "With CI=true a missing part is a failure."; exit 1; }
exit 0
