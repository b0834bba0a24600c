/** Pods by the container runtime interface, as the kubelet asks for them. */
import { join } from 'node:path'
import { Client, credentials } from '@grpc/grpc-js'
import { loadSync, type ServiceDefinition } from '@grpc/proto-loader'

const DEADLINE_MS = 60_000

export interface PodStatus {
  ip: string
  pid: number
}

interface StatusAnswer {
  status: { network: { ip: string } }
  info: { info: string }
}

export class Cri {
  readonly #service: ServiceDefinition
  readonly #client: Client
  readonly #cgroup: string

  constructor(socket: string, cgroup: string) {
    const definition = loadSync(join(import.meta.dirname, 'cri.proto'), { keepCase: true })
    this.#service = definition['runtime.v1.RuntimeService'] as ServiceDefinition
    // containerd refuses the escaped socket path as an authority
    const options = { 'grpc.default_authority': 'localhost' }
    this.#client = new Client(`unix://${socket}`, credentials.createInsecure(), options)
    this.#cgroup = cgroup
  }

  #call<Answer extends object>(name: string, request: object): Promise<Answer> {
    const method = this.#service[name]
    if (method === undefined) throw new Error(`cri.proto has no ${name}`)
    const { path, requestSerialize, responseDeserialize } = method
    return new Promise((resolve, reject) => {
      const deadline = { deadline: Date.now() + DEADLINE_MS }
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        deadline,
        (error, answer) => (error ? reject(error) : resolve(answer as Answer)),
      )
    })
  }

  /** Starts a pod and returns the ID of its sandbox. */
  async runPod(name: string): Promise<string> {
    const config = {
      metadata: { name, uid: `uid-${name}`, namespace: 'default', attempt: 0 },
      hostname: name,
      linux: { cgroup_parent: this.#cgroup },
    }
    return (await this.#call<{ pod_sandbox_id: string }>('RunPodSandbox', { config })).pod_sandbox_id
  }

  async status(id: string): Promise<PodStatus> {
    const answer = await this.#call<StatusAnswer>('PodSandboxStatus', { pod_sandbox_id: id, verbose: true })
    return { ip: answer.status.network.ip, pid: JSON.parse(answer.info.info).pid }
  }

  async stopPod(id: string): Promise<void> {
    await this.#call('StopPodSandbox', { pod_sandbox_id: id })
  }

  async removePod(id: string): Promise<void> {
    await this.#call('RemovePodSandbox', { pod_sandbox_id: id })
  }

  close(): void {
    this.#client.close()
  }
}
