#!/usr/bin/env bash
# PixCrawler on Azure Container Apps: secrets in Key Vault, logs in Azure Monitor. See docs/deploy.md.
#
#   GROUP=pixcrawler LOCATION=westeurope NAME=pixcrawler042 DATABASE_URL=… SCRAPYD_PASSWORD=… CONTACT=… deploy/azure.sh
#
# NAME must be free in all of Azure, and is in small letters and digits. Run it again to bring everything up to date.
set -euo pipefail
: "${GROUP:?}" "${LOCATION:?}" "${NAME:?}" "${DATABASE_URL:?}" "${SCRAPYD_PASSWORD:?}" "${CONTACT:?}"

az group create --name "$GROUP" --location "$LOCATION" --output none
az configure --defaults group="$GROUP" location="$LOCATION"

# The image.
az acr create --name "$NAME" --sku Basic --output none
az acr build --registry "$NAME" --file deploy/Dockerfile --image pixcrawler:latest .

# Who the apps are, and what they may.
az identity create --name pixcrawler --output none
identity=$(az identity show --name pixcrawler --query id --output tsv)
principal=$(az identity show --name pixcrawler --query principalId --output tsv)
may() { # ROLE SCOPE
    az role assignment create --assignee-object-id "$principal" --assignee-principal-type ServicePrincipal \
        --role "$1" --scope "$2" --output none
}
may AcrPull "$(az acr show --name "$NAME" --query id --output tsv)"

# Pictures, datasets and logs.
az storage account create --name "$NAME" --sku Standard_LRS --min-tls-version TLS1_2 --allow-blob-public-access false \
    --output none
connection=$(az storage account show-connection-string --name "$NAME" --query connectionString --output tsv)
for container in pixcrawler pixcrawler-warm; do
    AZURE_STORAGE_CONNECTION_STRING=$connection az storage container create --name "$container" --output none
done

# Secrets. Nobody but the apps, and whoever may administer the vault, reads them.
az keyvault show --name "$NAME" --output none 2>/dev/null ||
    az keyvault create --name "$NAME" --enable-rbac-authorization true --output none
vault=$(az keyvault show --name "$NAME" --query id --output tsv)
may "Key Vault Secrets User" "$vault"
az role assignment create --assignee "$(az ad signed-in-user show --query id --output tsv)" \
    --role "Key Vault Secrets Officer" --scope "$vault" --output none # takes a minute: where it is refused, run again
secrets=()
keep() { # NAME VALUE; through a file, for everyone may read command lines
    local file
    file=$(mktemp)
    printf %s "$2" >"$file"
    az keyvault secret set --vault-name "$NAME" --name "$1" --file "$file" --encoding utf-8 --output none
    rm "$file"
    secrets+=("$1=keyvaultref:https://$NAME.vault.azure.net/secrets/$1,identityref:$identity")
}
keep database-url "$DATABASE_URL"
keep storage "$connection"
keep scrapyd-password "$SCRAPYD_PASSWORD"
keep scrapyd-nodes "http://crawler:$SCRAPYD_PASSWORD@node:80#2"

# Logs. What processes say goes there line by line; what crawls have said is in storage too.
az monitor log-analytics workspace create --workspace-name pixcrawler --output none
workspace=$(az monitor log-analytics workspace show --workspace-name pixcrawler --query customerId --output tsv)
az containerapp env create --name pixcrawler --logs-workspace-id "$workspace" --output none # it asks for the key itself

app() { # NAME COMMAND CPU MEMORY OPTION…
    local name=$1 command=$2 cpu=$3 memory=$4
    shift 4
    # shellcheck disable=SC2086  # the command is several words
    az containerapp create --name "$name" --environment pixcrawler --image "$NAME.azurecr.io/pixcrawler:latest" \
        --registry-server "$NAME.azurecr.io" --registry-identity "$identity" --user-assigned "$identity" \
        --cpu "$cpu" --memory "$memory" --min-replicas 1 --max-replicas 1 \
        --secrets "${secrets[@]}" --command $command --output none \
        --env-vars DATABASE_URL=secretref:database-url PIXCRAWLER_STORAGE=azure \
        AZURE_STORAGE_CONNECTION_STRING=secretref:storage PIXCRAWLER_CONTACT="$CONTACT" "$@"
}
# A second node is another app, with a name of its own in `scrapyd-nodes`: each has its own slots.
app node pixcrawler-node 2 4Gi SCRAPYD_USERNAME=crawler SCRAPYD_PASSWORD=secretref:scrapyd-password \
    SCRAPYD_BIND_ADDRESS=0.0.0.0 SCRAPYD_ALLOWED_HOSTS=node \
    --ingress internal --target-port 6800 --allow-insecure
app dispatcher "pixcrawler dispatcher" 0.5 1Gi SCRAPYD_NODES=secretref:scrapyd-nodes
app exporter "pixcrawler exporter" 1 2Gi
app api "pixcrawler api" 0.5 1Gi HOST=0.0.0.0 PORT=8000 --ingress external --target-port 8000

az containerapp show --name api --query properties.configuration.ingress.fqdn --output tsv
